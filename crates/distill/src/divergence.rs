//! How far a student is from its teacher at a place, of two distributions over the same few outcomes: the teacher's most
//! probable tokens, and all other tokens as one.
//!
//! ```text
//! beta = 0         KL(p || q) = sum_j p_j (ln p_j - ln q_j)                forward: the student covers the teacher
//! beta = 1         KL(q || p) = sum_j q_j (ln q_j - ln p_j)                reverse: the student seeks its modes
//! 0 < beta < 1     beta KL(p || m) + (1 - beta) KL(q || m),  m = beta p + (1 - beta) q
//! ```
//!
//! p is the teacher, q the student, j runs over the K tokens and the rest (GKD, arXiv 2306.13649, eq. 1, with the ends as
//! in TRL's `GKDTrainer`: they are the KLs themselves, not the limits of the mixture, which go to 0). Tokens outside the
//! top K count by their sum. Joining outcomes never makes two distributions look further apart (the data-processing
//! inequality), so what is minimised is a lower bound of the divergence over the vocabulary: it is 0 exactly where all K + 1
//! probabilities agree, and it is the divergence itself where K is the vocabulary.

// N places, K tokens of the teacher's

use burn::tensor::Tensor;

/// The divergence at each place, in nats, with the student's gradient.
///
/// # Shapes
/// - `student`, `teacher`: `[N, K + 1]` log-probabilities, each row's sum to 1; outcomes that none has (a rest of nothing)
///   have to be left out
/// - result: `[N]`
pub fn divergence(student: Tensor<2>, teacher: Tensor<2>, beta: f64) -> Tensor<1> {
    let (q, p) = (student.clone().exp(), teacher.clone().exp());
    let terms = if beta == 0.0 {
        p * (teacher - student)
    } else if beta == 1.0 {
        q * (student - teacher)
    } else {
        let mixture =
            log_add(teacher.clone().add_scalar(beta.ln()), student.clone().add_scalar((-beta).ln_1p()));
        p.mul_scalar(beta) * (teacher - mixture.clone()) + q.mul_scalar(1.0 - beta) * (student - mixture)
    };
    terms.sum_dim(1).squeeze_dim(1)
}

/// `ln (e^a + e^b)`
fn log_add(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let top = a.clone().max_pair(b.clone()).detach();
    ((a - top.clone()).exp() + (b - top.clone()).exp()).log() + top
}

#[cfg(test)]
mod tests {
    use super::divergence;
    use burn::tensor::{Tensor, TensorData};
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    /// Log-probabilities of a row of logits.
    fn log_softmax(logits: &[f64]) -> Vec<f64> {
        let sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        logits.iter().map(|x| x - sum).collect()
    }

    /// The first `count` outcomes and the others as one.
    fn joined(logprobs: &[f64], count: usize) -> Vec<f64> {
        let rest = logprobs[count..].iter().map(|x| x.exp()).sum::<f64>().ln();
        logprobs[..count].iter().copied().chain([rest]).collect()
    }

    fn between(student: &[f64], teacher: &[f64], beta: f64) -> f32 {
        let row = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            let shape = [1, values.len()];
            Tensor::<2>::from_data(TensorData::new(values, shape), &testkit::device())
        };
        testkit::floats(divergence(row(student), row(teacher), beta))[0]
    }

    fn logits() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-6.0_f64..6.0, 9)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// The statement about what lies outside the top: joining it gives a lower bound, at every beta.
        #[test]
        fn joining_the_rest_never_adds_divergence(
            (student, teacher) in (logits(), logits()),
            count in 1_usize..8,
            beta in prop::sample::select(vec![0.0, 0.1, 0.5, 0.9, 1.0]),
        ) {
            let (student, teacher) = (log_softmax(&student), log_softmax(&teacher));
            let whole = between(&student, &teacher, beta);
            let of_joined = between(&joined(&student, count), &joined(&teacher, count), beta);
            prop_assert!(of_joined >= -1e-6, "{of_joined}");
            prop_assert!(of_joined <= whole + 1e-5, "{of_joined} above {whole}");
        }

        /// It is no bound but the divergence itself where the rest is shared out as the teacher's.
        #[test]
        fn joining_loses_nothing_where_the_rest_has_the_teachers_shape(
            (student, teacher) in (logits(), logits()),
            count in 1_usize..8,
            beta in prop::sample::select(vec![0.0, 0.1, 0.5, 0.9, 1.0]),
        ) {
            let (mut student, teacher) = (log_softmax(&student), log_softmax(&teacher));
            let (of_student, of_teacher) = (joined(&student, count), joined(&teacher, count));
            for (x, shape) in student[count..].iter_mut().zip(&teacher[count..]) {
                *x = shape - of_teacher[count] + of_student[count];
            }
            let whole = between(&student, &teacher, beta);
            let of_joined = between(&of_student, &of_teacher, beta);
            prop_assert!((whole - of_joined).abs() < 1e-5, "{of_joined} instead of {whole}");
        }

        #[test]
        fn a_distribution_is_no_distance_from_itself(logits in logits(), beta in 0.0_f64..=1.0) {
            let logprobs = log_softmax(&logits);
            prop_assert!(between(&logprobs, &logprobs, beta).abs() < 1e-6);
        }
    }

    #[test]
    fn small_mixtures_tend_to_the_kls_at_their_ends() {
        let (student, teacher) = (log_softmax(&[1.0, -1.0, 0.5]), log_softmax(&[-0.5, 0.25, 1.5]));
        let near = |beta: f64, share: f64| between(&student, &teacher, beta) / share as f32;
        assert!((near(1e-3, 1e-3) - between(&student, &teacher, 0.0)).abs() < 3e-3);
        assert!((near(1.0 - 1e-3, 1e-3) - between(&student, &teacher, 1.0)).abs() < 3e-3);
    }
}
