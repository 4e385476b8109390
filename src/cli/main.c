/* main.c - the command `celeriac`: all of it is in the library. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cel__cli_main(argc, argv);
}
