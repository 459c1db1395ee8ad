/* The simulated NVML's file, seen by a process that leaves its GPUs or comes back to them. */
#ifndef GPUS_H
#define GPUS_H

/* Takes the rows of `pid` out of the NVML's file and keeps them in the file `kept`. */
void gpus_take(int pid, const char *kept);

/* Puts them back; 0 where a GPU has not got that much free. */
int gpus_give(const char *kept);

#endif
