#!/bin/bash
# Slurm prolog: no job starts on a node whose GPUs are broken. In slurm.conf: Prolog=/etc/slurm/prolog.d/*
# What it prints goes to slurmd's log. Slurm drains the node and requeues the job when it exits with 1.
set -u
gpudoctor=${GPUDOCTOR:-/opt/gpudoctor/bin/gpudoctor}

# Nodes and jobs without GPUs have nothing to look at.
[ -n "${SLURM_JOB_GPUS:-}" ] || exit 0

told=$(timeout 45 "$gpudoctor" check --only driver,ecc --fail-on error --timeout 20 2>&1)
code=$?
case $code in
  0) exit 0 ;;
  1 | 124)
    echo "gpudoctor: the GPUs of this node are not fit for job ${SLURM_JOB_ID:-?} (exit code $code)"
    echo "$told"
    exit 1
    ;;
  *)
    # A tool that is missing or cannot look must not empty the cluster.
    echo "gpudoctor could not look (exit code $code): $told"
    exit 0
    ;;
esac
