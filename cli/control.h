#ifndef NSP_CLI_CONTROL_H
#define NSP_CLI_CONTROL_H
#include <stddef.h>
#include <stdio.h>

/* The socket by which 'nsp reload' and 'nsp status' talk to 'nsp run': a local
 * stream socket that only its owner may use. A client writes one line, a word
 * of the protocol; the answer is a line with an exit status, a line for people,
 * which may be empty, one JSON document, and the end of the stream. To "reload"
 * the status may be NSP_CONTROL_ASKS: it was not done, since it would do what
 * the line says to who asks; "reload-yes" does it.
 *
 * Paths    --control PATH; else /run/netshaper/control.sock for root, and
 *          $XDG_RUNTIME_DIR/netshaper.sock for others. */

#define NSP_CONTROL_PATH_MAX 107u /* struct sockaddr_un's, terminated. */
#define NSP_CONTROL_WORD_MAX 32u
#define NSP_CONTROL_ASKS     64

/* Writes the path that is used without --control. Returns 0, or -ENOENT when
 * there is none for this user, or -ENAMETOOLONG. */
int nsp_control_default_path(char ret[static NSP_CONTROL_PATH_MAX + 1]);

/* --- Server --------------------------------------------------------------- */

struct nsp_control {
    int fd; /* To be polled for input; -1 when not open. */
    char path[NSP_CONTROL_PATH_MAX + 1];
};

/* Opens the socket at 'path'. One that a killed process left is replaced; one
 * that is answered is not: -EADDRINUSE. Returns 0 or a negative errno. */
int nsp_control_open(struct nsp_control *control, const char *path);

/* Closes and removes it. */
void nsp_control_close(struct nsp_control *control);

/* Writes the answer to 'word' of process 'asker' to 'to'. */
typedef void nsp_control_answer_fn(void *context, const char *word, int asker,
                                   FILE *to);

/* Takes one client, reads its word, and has it answered. A client that says
 * nothing within a second is dropped. */
void nsp_control_serve(struct nsp_control *control,
                       nsp_control_answer_fn *answer, void *context);

/* --- Client --------------------------------------------------------------- */

struct nsp_control_answer {
    int exit_status;
    const char *message, *document; /* In 'text'. */
    char *text;                     /* To be freed. */
};

/* Sends 'word' to the server at 'path' and stores what it answers. Returns 0,
 * or a negative errno; -EPROTO when the answer is cut. */
int nsp_control_ask(const char *path, const char *word,
                    struct nsp_control_answer *ret);

#endif /* NSP_CLI_CONTROL_H */
