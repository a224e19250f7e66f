/* A real guest under a private libvirt, driven from a test: HOLDFAST_LAB_URI says where, HOLDFAST_LAB_VM
 * which. */
#ifndef HOLDFAST_TESTS_LAB_H
#define HOLDFAST_TESTS_LAB_H

#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <stdint.h>

extern virConnectPtr lab_connection;
extern char lab_directory[64]; /* for files of the test; removed at the end */

int lab_open(void);
void lab_close(void);
virDomainPtr lab_domain(const char *name);
/* Run a shell command in the guest and give what it printed (malloc'd). Fails the test when it fails. */
char *lab_guest(virDomainPtr domain, const char *command);
/* The guest agent answers. */
void lab_wait_agent(virDomainPtr domain);
void lab_wait_state(virDomainPtr domain, int state);
/* By its guest agent, until it is off. */
void lab_shut_down(virDomainPtr domain);
void lab_kill_qemu(virDomainPtr domain);
/* How many checkpoints the domain has. */
int lab_checkpoints(virDomainPtr domain);

#endif
