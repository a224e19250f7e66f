# The providers' part of the room: sources relative to agent/, and the libraries that they need.
set(provider_sources
    providers/files.c providers/files_backup.c providers/files_restore.c
    providers/image.c providers/image_backup.c providers/image_kept.c providers/image_registry.c providers/image_restore.c
    providers/image_snapshots.c providers/job_journal.c providers/lvm.c providers/provider_list.c providers/provider_reply.c
    providers/restore_files.c providers/restore_plan.c providers/restore_snapshot.c providers/snapshot_journal.c)
set(provider_libraries PkgConfig::JANSSON PkgConfig::ARCHIVE)
if(HOLDFAST_KVM)
  list(APPEND provider_sources
    providers/kvm.c providers/kvm_backup.c providers/kvm_backup_off.c providers/kvm_backup_plan.c providers/kvm_backup_running.c
    providers/kvm_backup_watch.c providers/kvm_checkpoint.c providers/kvm_connection.c providers/kvm_discover.c
    providers/kvm_domain_edit.c providers/kvm_firmware.c providers/kvm_freeze.c providers/kvm_hooks.c providers/kvm_host_snapshot.c providers/kvm_pause.c providers/kvm_moved.c providers/kvm_recover.c providers/kvm_restore.c providers/kvm_restore_target.c
    providers/kvm_scratch.c providers/kvm_watchdog.c providers/kvm_xml.c providers/kvm_xml_tree.c)
  list(APPEND provider_libraries PkgConfig::LIBVIRT PkgConfig::LIBXML2)
  set_source_files_properties(providers/provider_list.c PROPERTIES COMPILE_DEFINITIONS HOLDFAST_KVM=1)
endif()
