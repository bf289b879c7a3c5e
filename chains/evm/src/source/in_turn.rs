//! Several questions under way at a time, their answers taken in the order of the questions.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;

/// Takes answers until `take` says that it needs no more. What is under way by then is waited for, and not cut off:
/// so what was asked does not depend on who answered first, and the same answers always lead to the same questions.
pub(super) async fn in_turn<F: Future>(
    questions: Vec<F>,
    at_a_time: usize,
    mut take: impl FnMut(F::Output) -> bool + Send,
) {
    let (mut questions, mut under_way) = (questions.into_iter(), FuturesOrdered::new());
    let mut more = true;
    // Ends when nothing is under way and no more is asked for.
    loop {
        let room = if more { at_a_time.saturating_sub(under_way.len()) } else { 0 };
        under_way.extend(questions.by_ref().take(room));
        let Some(answer) = under_way.next().await else { return };
        more = more && take(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::in_turn;

    #[tokio::test]
    async fn what_is_asked_does_not_depend_on_who_answers_first() {
        for slow in 0..6 {
            let asked = Mutex::new(Vec::new());
            let questions = (0..10).map(|n| {
                let asked = &asked;
                async move {
                    asked.lock().unwrap().push(n);
                    for _ in 0..if n == slow { 50 } else { n % 3 } {
                        tokio::task::yield_now().await;
                    }
                    n
                }
            });
            let mut taken = Vec::new();
            in_turn(questions.collect(), 3, |n| {
                taken.push(n);
                n < 4
            })
            .await;
            assert_eq!(taken, [0, 1, 2, 3, 4]);
            let mut asked = asked.into_inner().unwrap();
            asked.sort_unstable();
            assert_eq!(asked, [0, 1, 2, 3, 4, 5, 6], "{slow} is slow");
        }
    }
}
