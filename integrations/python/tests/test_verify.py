"""What the wheel promises: verdicts, batches in order, threads, deadlines, and errors in words. Needs nothing but the wheel:
python tests/test_verify.py"""

import threading
import time
import unittest

import ruminate_verify
from ruminate_verify import kinds, verify, verify_batch
from ruminate_verify.trl import reward

SLOW = "1+" * 500_000 + "1"


class Verdicts(unittest.TestCase):
    def test_a_verdict_has_an_outcome_a_score_and_a_reason(self):
        right = verify("math", r"\frac{1}{2}", r"so $\boxed{0.5}$")
        self.assertEqual((right.outcome, right.score, right.correct, right.scored), ("correct", 1.0, True, True))
        wrong = verify("math", "12", r"\boxed{13}")
        self.assertEqual((wrong.outcome, wrong.correct, wrong.extracted), ("wrong", False, "13"))
        self.assertFalse(verify("last_number", "no number", "3").scored)
        self.assertIn("math", kinds())

    def test_options_and_columns_are_keywords(self):
        self.assertTrue(verify("choice", "E", "Answer: E", choices=5).correct)
        self.assertTrue(verify("countdown", None, "<answer>4*6</answer>", numbers=[4, 6], target=24).correct)
        self.assertTrue(verify("last_number", 10**30, f"so {10**30}").correct)

    def test_faults_of_the_caller_are_errors_in_words(self):
        for call, says in [
            (lambda: verify("maths", "1", "1"), "math"),
            (lambda: verify("choice", "A", "A", choices=99), "choices"),
            (lambda: verify("math", "1", "1", deadline_s=0), "deadline_s"),
            (lambda: verify_batch("math", ["1"], []), "as many golds as completions"),
            (lambda: verify_batch("maths", ["1"], ["1"]), "math"),
            (lambda: verify("math", float("nan"), "1"), "finite"),
        ]:
            with self.assertRaises(ValueError) as caught:
                call()
            self.assertIn(says, str(caught.exception))
        with self.assertRaises(TypeError):
            verify("math", object(), "1")

    def test_keywords_that_the_kind_does_not_read_are_refused(self):
        for call in [
            lambda: verify("math", "1", r"\boxed{1}", required="boxed"),
            lambda: verify_batch("math", ["1"], [r"\boxed{1}"], required="boxed"),
            lambda: verify_batch("math", ["1"], [r"\boxed{1}"], columns={"required": ["boxed"]}),
            lambda: reward("math", required="boxed")(completions=[r"\boxed{1}"], answer=["1"]),
        ]:
            with self.assertRaises(ValueError) as caught:
                call()
            for says in ["required", "did you mean `require`", "tolerance_column"]:
                self.assertIn(says, str(caught.exception))
        self.assertTrue(verify("math", "3.1", r"\boxed{3.14}", tolerance_column="error", error=0.1).correct)
        self.assertTrue(verify("length", "4", "<answer>4</answer>", tokens=3, group_tokens=[9], answer_kind="exact").scored)

    def test_a_batch_keeps_the_order(self):
        golds = [str(number) for number in range(1000)]
        verdicts = verify_batch("math", golds, [rf"\boxed{{{number - number % 2}}}" for number in range(1000)], threads=4)
        self.assertEqual([verdict.correct for verdict in verdicts], [number % 2 == 0 for number in range(1000)])

    def test_threads_judge_at_the_same_time_and_other_threads_of_python_go_on(self):
        counted, done = [0], threading.Event()

        def count():
            while not done.is_set():
                counted[0] += 1
                time.sleep(0.0001)

        threading.Thread(target=count, daemon=True).start()
        wrong = []

        def judge():
            for number in range(200):
                if not verify("math", f"{number}/7", rf"\boxed{{\frac{{{number}}}{{7}}}}", deadline_s=5).correct:
                    wrong.append(number)

        threads = [threading.Thread(target=judge) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        self.assertEqual(wrong, [])
        self.assertGreater(counted[0], 0)

    def test_a_deadline_holds_in_any_thread(self):
        found = []

        def judge():
            found.append(verify("exact", "1", SLOW * 4, deadline_s=1e-9))
            found.extend(verify_batch("repetition", ["1"], [SLOW], deadline_s=1e-6))

        thread = threading.Thread(target=judge)
        thread.start()
        thread.join()
        for verdict in found:
            self.assertEqual(verdict.outcome, "unscored")
            self.assertIn("longer than", verdict.why)

    def test_trl_gets_a_number_for_each_completion_or_none(self):
        function = reward("math", gold="solution")
        self.assertEqual(function.__name__, "math_reward")
        texts = [r"\boxed{42}", r"\boxed{41}"]
        chats = [[{"role": "assistant", "content": text}] for text in texts]
        for completions in (texts, chats):
            self.assertEqual(function(completions=completions, prompts=["q", "q"], solution=["42", "42"]), [1.0, 0.0])
        unreadable = reward("last_number")(completions=["3"], answer=["no number"])
        self.assertEqual(unreadable, [None])
        countdown = reward("countdown", gold=None, columns=["numbers", "target"])
        rewards = countdown(completions=["<answer>4*6</answer>"], numbers=[[4, 6]], target=[24])
        self.assertEqual(rewards, [1.0])
        with self.assertRaises(ValueError):
            function(completions=texts, answer=["42", "42"])


if __name__ == "__main__":
    print(ruminate_verify.__file__)
    unittest.main()
