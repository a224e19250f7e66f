#include "cli/prompt.h"

#include "base/memory.h"
#include "cli/settings.h"
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { SECRET_MAX = 2048 };

/* Asks when nothing is shown any more: what is typed before is dropped. The terminal is as before afterwards.
 */
static char *read_hidden(FILE *terminal, const char *question)
{
    struct termios before;
    struct termios hidden;
    char line[SECRET_MAX];
    if (tcgetattr(fileno(terminal), &before) != 0) {
        return NULL;
    }
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fileno(terminal), TCSAFLUSH, &hidden);
    fputs(question, terminal);
    char *read = fgets(line, sizeof line, terminal);
    tcsetattr(fileno(terminal), TCSAFLUSH, &before);
    fputc('\n', terminal);
    if (read == NULL) {
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    char *secret = line[0] != '\0' ? memory_copy_text(line) : NULL;
    explicit_bzero(line, sizeof line);
    return secret;
}

char *prompt_secret(const char *question)
{
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (terminal == NULL) {
        return NULL;
    }
    setbuf(terminal, NULL); /* reading and writing may take turns then */
    char *secret = read_hidden(terminal, question);
    fclose(terminal);
    return secret;
}

char *prompt_code(void)
{
    return prompt_secret("Code of your second factor: ");
}

char *prompt_secret_or_file(const char *file, const char *question, const char *option,
                            struct failure *failure)
{
    if (file != NULL) {
        return settings_read_text(file, failure);
    }
    char *secret = prompt_secret(question);
    if (secret == NULL) {
        failure_set(failure, ERROR_REQUEST_INVALID, "There is no terminal to ask on, or nothing was typed");
        snprintf(failure->action, sizeof failure->action, "Give it with --%s FILE.", option);
    }
    return secret;
}

void prompt_forget(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
    }
    free(secret);
}
