#!/usr/bin/env bash
# A network retrained without the forgotten images beside what unlearning makes of one that was trained with them: who
# can tell them apart? ResNet-8 by the recipe `fast`, as far as two cores go, two sets of 16 images.
# docs/decisions/009-self-distillation.md shows the result.
#
#     bash experiments/retrained.sh [FOLDER]      (runs/retrained; `lethe` in the path, CIFAR-10 beside it)
set -euo pipefail
out=${1:-runs/retrained}
data=cifar10:cifar-10-batches-bin
train() { lethe train --recipe fast --model resnet8 --data "$data" --epochs 10 --augment=false --label-smoothing 0 "$@"; }

train --out "$out/with-all"
for set in 0 1; do
    forget=torch-randperm:$set:16
    train --exclude "$forget" --out "$out/without-$set"
    lethe unlearn --weights "$out/with-all/weights.safetensors" --data "$data" --forget "$forget" --seed "$set" \
        --methods neggrad,adv,adv+imp,distill,distill+views --repeats 10 --max-steps 400 --retain-limit 2000 \
        --out "$out/run-$set"
    lethe measure "$out/run-$set" --oracle "$out/without-$set/weights.safetensors" --only reemergence,loss-attack,relearn
done
