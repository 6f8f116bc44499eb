#include "tensor/error.h"
#include "unlearn/metrics/metric.h"

namespace lethe {

const std::vector<Metric>& metrics() {
    static const std::vector<Metric> list{
        {"reemergence",
         "mean over views v of D_f (flip, shift, crop, noise, brightness, JPEG, ...) of P(v(x) is given y)", "low",
         "about the accuracy on test images, for images never seen", "views: Hendrycks and Dietterich, ICLR 2019"},
        {"loss-attack", "AUC of -CE(f(x), y), D_f against D_test; TPR at FPR 1 % and 0.1 %, best balanced accuracy",
         "0.5; below it the forgotten images stand out", "AUC 0.5, TPR = FPR, balanced accuracy 0.5",
         "Yeom et al., CSF 2018; Carlini et al., S&P 2022"},
        {"logistic-attack",
         "k-fold balanced accuracy of p(x in D_f) = 1 / (1 + exp(-(w CE(f(x), y) + b))), D_f against D_test", "0.5",
         "0.5", "NeurIPS 2023 machine unlearning challenge, starting kit"},
        {"svc-attack",
         "share of D_f that an SVM trained on D_r against D_test calls non-member, by correctness, confidence, "
         "entropy, modified entropy, all",
         "as high as for held-out test images", "the attack's own accuracy is 0.5",
         "Song and Mittal, USENIX Security 2021; Jia et al., NeurIPS 2023"},
        {"relearn", "steps of SGD on CE(f(x), y) of D_f until as many of D_f are recognised as before", "high",
         "as many as a model retrained without D_f needs", "Chundawat et al., IEEE TIFS 2023"},
        {"relearn-last-layer", "the same with all but the last layer fixed", "high",
         "as many as a model retrained without D_f needs", "Chundawat et al., IEEE TIFS 2023"},
        {"knn-probe",
         "share of D_f, and of D_test, whose 10 nearest neighbours by cosine among D_r's penultimate features mostly "
         "have its label",
         "of D_f as of D_test", "the share of D_test", "Cover and Hart, IEEE TIT 1967"},
        {"linear-probe",
         "share of D_f, and of D_test, that argmax W h(x) + b gives its label; h: penultimate features; W, b fitted to "
         "D_r: min |W|^2/2 + sum CE",
         "of D_f as of D_test", "the share of D_test", "Alain and Bengio, ICLR workshop 2017"},
        {"cka",
         "|Yc^T Xc|_F^2 / (|Xc^T Xc|_F |Yc^T Yc|_F), X and Y the features of a layer before and after, of D_f, D_r and "
         "D_test",
         "high on D_r and D_test", "1: the features are those before, but for rotation and scale",
         "Kornblith et al., ICML 2019"},
        {"batchnorm",
         "accuracy on D_f, D_r and D_test with the model's own running statistics, with those before, and with those "
         "of "
         "D_r under the new weights",
         "D_f low with all three", "the same with all three: nothing sits in the statistics", "by definition"},
        {"margins", "quantiles of z_y - max_{j != y} z_j, of p_y and of the entropy over each set",
         "those of D_f like those of test images", "those of test images", "by definition"},
        {"activation-distance", "mean over x of |softmax(f(x)) - softmax(f_before(x))|_2", "low on D_r and D_test", "0",
         "Golatkar et al., CVPR 2020; Chundawat et al., AAAI 2023"},
        {"zrf", "1 - mean over D_f of JS(f(x), random(x)), in bits", "as high as for test images",
         "1: as an untrained model", "Chundawat et al., AAAI 2023"},
        {"rf-jsd",
         "mean over classes of JS(mean of f(x) over D_f's x of the class, mean of f_before(x) over D_test's), in bits",
         "low", "0: D_f is answered as the model before answers unseen images", "Spartalis et al., CVPR 2025"},
        {"over-unlearning",
         "OU@eps: mean of JS(f_before(x') without p_y, f(x')) in bits; x' within 0.03 (Linf) of an x of D_f, towards "
         "its "
         "best other class",
         "low", "0: around D_f all other classes are answered as before", "Ha, Park and Yoon, ICML 2026"},
        {"weight-distance",
         "|theta - theta_before|_2, relative, and the share of values that moved; BatchNorm's buffers apart",
         "low, at equal forgetting", "0", "by definition"},
        {"drift",
         "sum w (theta - theta_before)^2 / sum (theta - theta_before)^2, w = 1 - minmax(Omega) of the run's penalty",
         "low, at equal forgetting", "the mean of w: moved without regard to importance",
         "Cha et al., AAAI 2024; Aljundi et al., ECCV 2018"},
        {"attack-transfer", "share of the run's adversarial images x' that f gives their target, or x's label",
         "target high, label low", "before: the attack's own hit rate", "Cha et al., AAAI 2024"},
        {"oracle-distance",
         "mean over x of |softmax(f(x)) - softmax(f_retrained(x))|_2, and of JS of both, in bits, on each set", "low",
         "0: as a retrained model", "Golatkar et al., CVPR 2020; Chundawat et al., AAAI 2023"},
        {"cost", "seconds and steps of the method in its run; without attack, importance, evaluation and measuring",
         "low", "those of retraining without D_f", "by definition"},
        {"tow", "product over D_f, D_r, D_test of (1 - |accuracy - retrained accuracy|)", "high",
         "1: as a retrained model", "Zhao et al., NeurIPS 2024"}};
    return list;
}

const Metric& find_metric(const std::string& name) {
    std::string known;
    for (const Metric& metric : metrics()) {
        if (metric.name == name) return metric;
        known += (known.empty() ? "" : ", ") + metric.name;
    }
    fail("metric: unknown name '", name, "'; known ones are ", known);
}

}  // namespace lethe
