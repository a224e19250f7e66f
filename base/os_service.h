/*
 * What a program that runs as a service needs of the operating system: signals that end it, and telling its
 * manager that it is ready (sd_notify(3), the datagram by itself).
 */
#ifndef HOLDFAST_BASE_OS_SERVICE_H
#define HOLDFAST_BASE_OS_SERVICE_H

/* Call once, on the main thread, before any other thread starts: signals that end the program are kept for
 * os_service_wait, and broken pipes are ignored. */
void os_service_start(void);
/* For other programs that use the network: writing to a connection that the other side has closed is an
 * error, not SIGPIPE. Once, on the main thread, before any other thread starts. */
void os_service_ignore_broken_pipes(void);
/* A program that was started without standard input, output or error: their numbers become no other file's or
 * connection's, and what is written there fails. First of all in main. */
void os_service_keep_standard_files(void);
/* Tell the service manager, if there is one, that start-up is over. */
void os_service_ready(void);
/* Block until SIGTERM or SIGINT comes. */
void os_service_wait(void);

#endif
