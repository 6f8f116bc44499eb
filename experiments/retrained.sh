#!/usr/bin/env bash
# A network retrained without the forgotten images beside what unlearning makes of one that was trained with them: who
# can tell them apart? ResNet-8 for six epochs without augmentation, as far as two cores go in a quarter of an hour.
# docs/what-forgotten-is-worth.md shows the result.
#
#     bash experiments/retrained.sh [FOLDER]      (runs/retrained; `lethe` in the path, CIFAR-10 beside it)
set -euo pipefail
out=${1:-runs/retrained}
data=cifar10:cifar-10-batches-bin
forget=torch-randperm:0:16
train() {
    lethe train --data "$data" --recipe fast --model resnet8 --stem cifar --epochs 6 --augment=false --label-smoothing 0 "$@"
}

train --out "$out/with-all"
train --exclude "$forget" --out "$out/without"
lethe unlearn --weights "$out/with-all/weights.safetensors" --data "$data" --forget "$forget" \
    --methods neggrad,adv,adv+imp,distill,distill+views --repeats 10 --max-steps 400 --retain-limit 2000 --out "$out/run"
lethe measure "$out/run" --oracle "$out/without/weights.safetensors" --only reemergence,loss-attack,relearn
