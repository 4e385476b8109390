/* rate.c - a bucket of one token per task: the next turn is one interval after the last. */
#include "worker/rate.h"

#include <stdlib.h>
#include <string.h>

#define INTERVAL_MAX_S 1e7 /* four months between two runs */

bool cel__rate_parse(int64_t *interval_us, const char *text)
{
    char *end;
    double count, seconds = 1;

    *interval_us = 0;
    if (!text || !*text)
        return true;
    count = strtod(text, &end);
    if (end == text || !(count >= 0) || count > 1e6)
        return false;
    if (strcmp(end, "/m") == 0)
        seconds = 60;
    else if (strcmp(end, "/h") == 0)
        seconds = 3600;
    else if (*end && strcmp(end, "/s") != 0)
        return false;
    if (count > 0 && seconds / count > INTERVAL_MAX_S)
        return false;
    if (count > 0)
        *interval_us = (int64_t)(seconds * 1e6 / count + 0.5);
    return true;
}

int64_t cel__rate_delay_us(cel_task_entry *entry, int64_t now_us)
{
    int64_t interval, turn;

    if (!entry->options.rate_limit)
        return 0;
    if (!cel__rate_parse(&interval, entry->options.rate_limit) || interval == 0)
        return 0;
    turn = entry->next_turn_us > now_us ? entry->next_turn_us : now_us;
    entry->next_turn_us = turn + interval;
    return turn - now_us;
}
