/* commands.c - the table of commands.h, and finding in it. */
#include "control/commands.h"

/* clang-format off */
#define CEL_X(name, alias, kind, flags, timeout_s, usage, help, ...) \
    [CEL_COMMAND_##name] = {#name, alias, CEL_CONTROL_##kind, flags, timeout_s, usage, help, {__VA_ARGS__}},
/* clang-format on */
const cel_control_command cel__control_commands[] = {CEL__CONTROL_COMMANDS(CEL_X)};
#undef CEL_X

const cel_control_command *cel__control_find(cel_view name)
{
    for (size_t i = 0; i < CEL_COMMAND_COUNT; i++) {
        const cel_control_command *command = &cel__control_commands[i];

        if (cel__view_is(name, command->name) ||
            (command->alias && cel__view_is(name, command->alias)))
            return command;
    }
    return NULL;
}
