#!/bin/bash
# Slurm epilog: the next job finds its GPUs empty. In slurm.conf: Epilog=/etc/slurm/epilog.d/*
# When a process still holds a GPU of the job that ended, the node is drained, with who and where as the
# reason. Nothing is ended: Slurm has done that already, and what is left does not listen.
# Only for nodes that give a GPU to one job at a time (no shards, no MPS).
set -u
gpudoctor=${GPUDOCTOR:-/opt/gpudoctor/bin/gpudoctor}
attempts=${GPUDOCTOR_ATTEMPTS:-4}

[ -n "${SLURM_JOB_GPUS:-}" ] || exit 0

# 0,2-3 becomes --gpu 0 --gpu 2 --gpu 3.
only=()
IFS=, read -ra parts <<<"$SLURM_JOB_GPUS"
for part in "${parts[@]}"; do
  for ((index = ${part%-*}; index <= ${part#*-}; index++)); do
    only+=(--gpu "$index")
  done
done

# A driver frees memory some time after the process has ended.
for ((attempt = 1; attempt <= attempts; attempt++)); do
  if ! told=$(timeout 30 "$gpudoctor" ps "${only[@]}" --json); then
    echo "gpudoctor could not look after job ${SLURM_JOB_ID:-?}"
    exit 0
  fi
  left=$(python3 -c '
import json, sys
for row in json.load(sys.stdin)["processes"]:
    gpus = ",".join(sorted({str(use["index"]) for use in row["gpus"]}))
    print("pid", row["pid"], "of", row["user"] or "?", "on GPU", gpus)
' <<<"$told")
  [ -n "$left" ] || exit 0
  [ "$attempt" = "$attempts" ] || sleep 3
done

echo "gpudoctor: left over after job ${SLURM_JOB_ID:-?}: $left"
"${SCONTROL:-scontrol}" update "nodename=${SLURMD_NODENAME:-$(hostname -s)}" state=drain \
  "reason=gpudoctor: $(head -n 1 <<<"$left")"
exit 0
