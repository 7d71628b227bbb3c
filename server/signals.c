/* signals.c - strays, and the two meanings of SIGHUP. No state of its own. */
#include "server/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* Each would end the process by default. Those that tell of a fault of its own (SIGSEGV, ...) and
 * those that stop it until SIGCONT do what they always do. */
static const int strays[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
                             SIGIO,   SIGPWR,  SIGPIPE, SIGXFSZ,   SIGSTKFLT};

/* 0, or why not. */
static int open_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

void signals_init(struct signals *signals)
{
    struct sigaction hangup;
    signals->has_terminal = open_terminal() == 0;
    signals->outlives_hangup =
        sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    for (size_t i = 0; i < sizeof strays / sizeof strays[0]; i++)
        signal(strays[i], SIG_IGN);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        signal(number, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

bool signals_is_hangup(const struct signals *signals)
{
    if (!signals->has_terminal || signals->outlives_hangup)
        return false;
    int number = open_terminal();
    return number == ENXIO || number == EIO; /* and not: no descriptor is left */
}

const char *signals_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGTERM, "SIGTERM"},
                 {SIGINT, "SIGINT"},
                 {SIGHUP, "SIGHUP"},
                 {SIGQUIT, "SIGQUIT"},
                 {SIGXCPU, "SIGXCPU"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == number)
            return names[i].name;
    return "a signal";
}
