#include "agent/providers/provider_list.h"

const struct provider *const provider_list[] = {
#ifdef HOLDFAST_KVM
    &provider_kvm,
#endif
    &provider_image,
    &provider_files,
    NULL,
};
