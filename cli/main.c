/* holdfast: the operator's command line. */
#include "cli/command.h"

#include <locale.h>

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    return cli_main(argc, argv, stdout, stderr);
}
