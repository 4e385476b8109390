/* window.c - see window.h. */
#include "worker/window.h"

void cel__window_init(cel_window *window, size_t slots, int64_t multiplier)
{
    *window = (cel_window){slots ? slots : 1, multiplier > 0 ? multiplier : 0, 0};
}

void cel__window_note(cel_window *window, int64_t runtime_us)
{
    int64_t us = runtime_us > 0 ? runtime_us : 1;

    if (window->average_us == 0)
        window->average_us = us;
    else if (us > window->average_us * 8 && us >= CEL_WINDOW_ROUND_TRIP_US)
        window->average_us = us; /* a long one: stop hoarding at once, and forget it slowly */
    else if (us > window->average_us * 4)
        window->average_us +=
            window->average_us / 5 + 1; /* one that was interrupted is no sign */
    else
        window->average_us += (us - window->average_us) / 16;
    if (window->average_us < 1)
        window->average_us = 1;
}

size_t cel__window_size(const cel_window *window)
{
    int64_t ahead;

    if (window->multiplier)
        return window->slots * (size_t)window->multiplier;
    if (window->average_us == 0 || window->average_us >= 1000000)
        return window->slots;
    ahead = (int64_t)window->slots * CEL_WINDOW_ROUND_TRIP_US / window->average_us;
    if (ahead > CEL_WINDOW_AHEAD_MAX)
        ahead = CEL_WINDOW_AHEAD_MAX;
    return window->slots + (size_t)ahead;
}
