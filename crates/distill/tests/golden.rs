//! Losses and gradients against TRL's numbers (`fixtures/distill/make.py`), and the on-policy gradient against the
//! divergence that it estimates.

use burn::tensor::{Tensor, TensorData};
use ruminate_distill::divergence;
use ruminate_distill::on_policy::policy_gradient;
use ruminate_kernels::{candidate_logprobs, token_logprobs, top_logprobs};
use ruminate_testkit as testkit;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    batch: Batch,
    divergence: Vec<Case>,
    on_policy: OnPolicy,
}

#[derive(Deserialize)]
struct Batch {
    hidden: Vec<Vec<f32>>,
    head: Vec<Vec<f32>>,
    teacher_logits: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Case {
    beta: f64,
    temperature: f64,
    top_k: usize,
    loss: f32,
    d_hidden: Vec<Vec<f32>>,
    d_head: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct OnPolicy {
    logprobs: Vec<f32>,
    old: Vec<f32>,
    advantages: Vec<f32>,
    gradient: Vec<f32>,
    loss: f32,
}

fn matrix(rows: &[Vec<f32>]) -> Tensor<2> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), &testkit::autodiff_device())
}

/// The teacher's top of logits that are given: hidden states are the unit vectors, the logits the head.
fn teacher_columns(logits: &[Vec<f32>], top_k: usize, temperature: f64) -> (Vec<u32>, Tensor<2>) {
    let places = logits.len();
    let unit: Vec<Vec<f32>> =
        (0..places).map(|i| (0..places).map(|j| f32::from(u8::from(i == j))).collect()).collect();
    let top = top_logprobs(matrix(&unit).inner(), matrix(logits).inner().transpose(), top_k, temperature);
    let columns: Vec<Vec<f32>> = top
        .logprobs
        .chunks(top_k)
        .zip(&top.rest)
        .map(|(row, rest)| row.iter().copied().chain([*rest]).collect())
        .collect();
    (top.ids, matrix(&columns))
}

#[test]
fn divergences_and_their_gradients_equal_trls() {
    let golden: Golden = testkit::json("distill/golden.json");
    assert!(golden.divergence.len() >= 20, "the fixture has its cases");
    let Batch { hidden, head, teacher_logits } = golden.batch;
    let vocabulary = head.len();
    for Case { beta, temperature, top_k, loss, d_hidden, d_head } in &golden.divergence {
        let (hidden, head) = (matrix(&hidden).require_grad(), matrix(&head).require_grad());
        let (ids, teacher) = teacher_columns(&teacher_logits, *top_k, *temperature);
        let student = candidate_logprobs(hidden.clone(), head.clone(), &ids, *temperature);
        let columns = if *top_k == vocabulary { vocabulary } else { top_k + 1 };
        let places = teacher_logits.len() as f64;
        let found = divergence(student.narrow(1, 0, columns), teacher.narrow(1, 0, columns), *beta)
            .sum()
            .div_scalar(places);
        let name = format!("beta {beta}, temperature {temperature}, top {top_k}");
        let value = found.clone().into_scalar::<f32>();
        assert!((value - loss).abs() < 1e-5, "{name}: {value} instead of {loss}");
        let gradients = found.backward();
        for (tensor, expected) in [(&hidden, d_hidden), (&head, d_head)] {
            let gradient = tensor.grad(&gradients).expect("a gradient");
            testkit::assert_close(&testkit::floats(gradient), &expected.concat(), 1e-5);
        }
    }
}

#[test]
fn the_on_policy_loss_and_its_gradient_are_the_references() {
    let OnPolicy { logprobs, old, advantages, gradient, loss } =
        testkit::json::<Golden>("distill/golden.json").on_policy;
    let logprobs = Tensor::<1>::from_floats(logprobs.as_slice(), &testkit::autodiff_device()).require_grad();
    let found = policy_gradient(logprobs.clone(), &old, &advantages);
    assert!((found.clone().into_scalar::<f32>() - loss).abs() < 1e-5);
    let actual = logprobs.grad(&found.backward()).expect("a gradient");
    testkit::assert_close(&testkit::floats(actual), &gradient, 1e-5);
}

/// Every token that could have been sampled, weighed by how often it is: the expectation of the on-policy gradient is
/// the gradient of the reverse KL over the vocabulary.
#[test]
fn the_on_policy_gradient_is_that_of_the_reverse_kl() {
    let golden: Golden = testkit::json("distill/golden.json");
    let Batch { hidden, head, teacher_logits } = golden.batch;
    let vocabulary = head.len();
    let places = hidden.len();
    let (ids, teacher) = teacher_columns(&teacher_logits, vocabulary, 1.0);
    let teacher = testkit::floats(teacher);
    let (states, weights) = (matrix(&hidden).require_grad(), matrix(&head).require_grad());
    // Each place once for each token.
    let repeated =
        Tensor::cat(vec![states.clone(); vocabulary], 1).reshape([places * vocabulary, hidden[0].len()]);
    let logprobs = token_logprobs(repeated, weights.clone(), &ids, 1.0).logprobs;
    let old = testkit::floats(logprobs.clone().detach());
    let advantage = |(index, old): (usize, &f32)| {
        let (place, rank) = (index / vocabulary, index % vocabulary);
        old.exp() * (teacher[place * (vocabulary + 1) + rank] - old)
    };
    let expected_advantages: Vec<f32> = old.iter().enumerate().map(advantage).collect();
    let loss = policy_gradient(logprobs, &old, &expected_advantages).div_scalar(places as f64);
    let case = golden
        .divergence
        .iter()
        .find(|case| case.beta == 1.0 && case.temperature == 1.0 && case.top_k == vocabulary)
        .expect("the reverse KL");
    let gradients = loss.backward();
    for (tensor, expected) in [(&states, &case.d_hidden), (&weights, &case.d_head)] {
        let gradient = tensor.grad(&gradients).expect("a gradient");
        testkit::assert_close(&testkit::floats(gradient), &expected.concat(), 1e-5);
    }
}
