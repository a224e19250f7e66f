# The providers' part of the room: sources relative to agent/, and the libraries that they need.
set(provider_sources
    providers/image.c providers/image_backup.c providers/image_registry.c providers/image_restore.c
    providers/job_journal.c providers/provider_list.c providers/provider_reply.c providers/restore_files.c
    providers/restore_plan.c)
set(provider_libraries PkgConfig::JANSSON)
