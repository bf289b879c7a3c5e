//! Ends of tasks and of the process, on paused time.

use std::sync::atomic::AtomicUsize;

use super::*;

struct Scene {
    supervisor: Supervisor,
    tasks: Tasks,
    send: mpsc::Sender<Signal>,
    receive: mpsc::Receiver<Signal>,
}

fn scene() -> Scene {
    let supervisor = Supervisor::new();
    let (send, receive) = mpsc::channel(2);
    Scene { tasks: supervisor.tasks(), supervisor, send, receive }
}

const FAST: Policy = Policy::Restart(Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(8) });

#[tokio::test(start_paused = true)]
async fn a_soft_stop_lets_work_in_flight_finish_and_exits_clean() {
    let Scene { supervisor, tasks, send, receive } = scene();
    let finished = Arc::new(AtomicUsize::new(0));
    let count = finished.clone();
    tasks.start("worker", Policy::StopProcess, move |stop| {
        let count = count.clone();
        async move {
            stop.requested().await;
            sleep(Duration::from_secs(9)).await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    send.send(Signal::Terminate).await.unwrap();
    assert_eq!(supervisor.run(receive).await, Exit::Clean);
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn work_that_outlives_the_grace_is_dropped_and_the_exit_code_says_so() {
    let Scene { supervisor, tasks, send, receive } = scene();
    tasks.start("stuck", Policy::StopProcess, |_| std::future::pending());
    send.send(Signal::Terminate).await.unwrap();
    let began = Instant::now();
    assert_eq!(supervisor.run(receive).await, Exit::Failed);
    assert_eq!(began.elapsed().as_secs(), GRACE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_wait_for_the_grace() {
    let Scene { supervisor, tasks, send, receive } = scene();
    tasks.start("stuck", Policy::StopProcess, |_| std::future::pending());
    send.send(Signal::Interrupt).await.unwrap();
    send.send(Signal::Interrupt).await.unwrap();
    let began = Instant::now();
    assert_eq!(supervisor.run(receive).await, Exit::Failed);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_must_not_end_stops_the_process_however_it_ends() {
    for end in ["returns", "fails", "panics"] {
        let Scene { supervisor, tasks, send: _send, receive } = scene();
        tasks.start("vital", Policy::StopProcess, move |_| async move {
            match end {
                "returns" => Ok(()),
                "fails" => Err("no disk".into()),
                _ => panic!("a bug"),
            }
        });
        tasks.start("other", Policy::StopProcess, |stop| async move {
            stop.requested().await;
            Ok(())
        });
        assert_eq!(supervisor.run(receive).await, Exit::Failed, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_may_end_ends_alone_and_stops_the_process_only_when_it_fails() {
    let Scene { supervisor, tasks, send, receive } = scene();
    tasks.start("errand", Policy::Once, |_| async { Ok(()) });
    sleep(Duration::from_secs(1)).await;
    assert!(!tasks.stop().is_requested());
    send.send(Signal::Terminate).await.unwrap();
    assert_eq!(supervisor.run(receive).await, Exit::Clean);

    let Scene { supervisor, tasks, send: _send, receive } = scene();
    tasks.start("errand", Policy::Once, |_| async { Err("refused".into()) });
    assert_eq!(supervisor.run(receive).await, Exit::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_task_waits_twice_as_long_each_time_until_it_has_been_healthy() {
    let Scene { supervisor, tasks, send, receive } = scene();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (began, seen) = (Instant::now(), starts.clone());
    tasks.start("flaky", FAST, move |_| {
        let run = {
            let mut seen = seen.lock().unwrap();
            seen.push(began.elapsed().as_secs());
            seen.len()
        };
        async move {
            match run {
                2 => panic!("a bug"),
                6 => sleep(Duration::from_secs(9)).await, // Healthy for longer than the longest pause.
                _ => {}
            }
            Err("lost the connection".into())
        }
    });
    sleep(Duration::from_secs(40)).await;
    send.send(Signal::Terminate).await.unwrap();
    assert_eq!(supervisor.run(receive).await, Exit::Clean);
    // Pauses 1, 2, 4, 8, 8; then nine healthy seconds, and 1, 2, 4 again.
    assert_eq!(*starts.lock().unwrap(), [0, 1, 3, 7, 15, 23, 33, 35, 39]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_not_a_clean_end() {
    let Scene { supervisor, tasks, send, receive } = scene();
    tasks.start("writer", FAST, |stop| async move {
        stop.requested().await;
        Err("could not write".into())
    });
    send.send(Signal::Terminate).await.unwrap();
    assert_eq!(supervisor.run(receive).await, Exit::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_task_can_start_others_and_the_stop_waits_for_them() {
    let Scene { supervisor, tasks, send, receive } = scene();
    let done = Arc::new(AtomicUsize::new(0));
    let (parent, count) = (tasks.clone(), done.clone());
    tasks.start("parent", Policy::StopProcess, move |stop| {
        let (parent, count) = (parent.clone(), count.clone());
        async move {
            parent.start("child", Policy::Once, move |stop| {
                let count = count.clone();
                async move {
                    stop.requested().await;
                    sleep(Duration::from_secs(3)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
            });
            stop.requested().await;
            Ok(())
        }
    });
    sleep(Duration::from_secs(1)).await;
    send.send(Signal::Terminate).await.unwrap();
    assert_eq!(supervisor.run(receive).await, Exit::Clean);
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_cut_short_by_a_stop() {
    let Scene { tasks, .. } = scene();
    let stop = tasks.stop();
    stop.request();
    assert!(!stop.sleep(Duration::from_hours(1)).await);
}
