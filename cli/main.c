/* holdfast: the operator's command line. */
#include "base/os_service.h"
#include "cli/command.h"

#include <locale.h>

int main(int argc, char **argv)
{
    os_service_keep_standard_files();
    setlocale(LC_CTYPE, "");
    return cli_main(argc, argv, stdout, stderr);
}
