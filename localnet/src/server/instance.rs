//! A network on a thread of its own.
//!
//! Canister code needs a deep stack and runs for long, so it has no place on the threads that serve requests. All that
//! happens to a network happens on its thread, one command after the other; between commands the thread makes the
//! network follow the clock, if asked to.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::http::StatusCode;
use pocket_ic::common::rest::AutoProgressConfig;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::answer::Failure;
use crate::{checkpoint::Keeper, network::Network};

/// Stack of a network's thread: room for the deepest Wasm stack several times over. It is virtual memory.
const STACK_BYTES: usize = 64 << 20;
/// Shortest pause between two rounds of automatic progress.
const MIN_PROGRESS_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two rounds of automatic progress.
const MAX_PROGRESS_PAUSE: Duration = Duration::from_secs(3600);
/// Pause before a round that somebody waits for, unless a client asked for longer pauses. Long enough that messages
/// which come together share a round.
const HASTY_PAUSE: Duration = Duration::from_millis(2);
/// Those who may wait for something to happen to one network.
const MAX_WAITING: usize = 1_000;

/// Returns the pause between two rounds of automatic progress that a client asks for.
///
/// # Errors
/// When it is too long.
pub(super) fn progress_pause(config: &AutoProgressConfig) -> Result<Duration, Failure> {
    let pause = Duration::from_millis(config.artificial_delay_ms.unwrap_or(0));
    if pause > MAX_PROGRESS_PAUSE {
        let limit = MAX_PROGRESS_PAUSE.as_millis();
        return Err(Failure::bad_request(format!("artificial_delay_ms {} exceeds {limit}", pause.as_millis())));
    }
    Ok(pause.max(MIN_PROGRESS_PAUSE))
}

type Command = Box<dyn FnOnce(&mut Actor) + Send>;
/// Looks whether something happened, and tells who waits for it; true when nobody waits any more.
type Waiting = Box<dyn FnMut(&mut Network) -> bool + Send>;

/// A handle of a network's thread.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    commands: mpsc::Sender<Command>,
    /// Why the network broke, if it did.
    broken: Arc<OnceLock<String>>,
    /// True when requests of the HTTP interface are believed without looking at their signatures.
    trusting: bool,
}

/// Tells when the thread of an instance has ended and the memory of its network is free.
#[derive(Debug)]
pub(crate) struct Ended(oneshot::Receiver<Result<(), String>>);

impl Ended {
    /// Waits for the end.
    ///
    /// # Errors
    /// Why the state directory, if there is one, does not hold the last state.
    pub(super) async fn wait(self) -> Result<(), String> {
        // Without an answer the thread panicked, which says why by itself.
        self.0.await.unwrap_or_else(|_| Err("the instance broke".to_owned()))
    }

    /// As [`wait`](Self::wait), where there is no runtime.
    pub(super) fn wait_blocking(self) -> Result<(), String> {
        self.0.blocking_recv().unwrap_or_else(|_| Err("the instance broke".to_owned()))
    }
}

/// What the thread owns.
struct Actor {
    broken: Arc<OnceLock<String>>,
    network: Network,
    progress: Option<Progress>,
    /// Writes the state directory, if there is one.
    keeper: Option<Keeper>,
    waiting: Vec<Waiting>,
    /// Time of the last round that those who wait were told of.
    told: u64,
}

/// How the network follows the clock.
struct Progress {
    pause: Duration,
    /// Wall clock of the last round.
    last: SystemTime,
    /// When the next round is due.
    due: Instant,
}

impl Instance {
    /// Moves a network to a thread of its own. The thread ends, and gives its place back, when all handles are gone.
    ///
    /// With a keeper it writes the state directory before it ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(
        network: Network,
        keeper: Option<Keeper>,
        place: OwnedSemaphorePermit,
    ) -> std::io::Result<(Self, Ended)> {
        let (commands, inbox) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let broken = Arc::new(OnceLock::new());
        let told = network.certified_time();
        let waiting = Vec::new();
        let mut actor = Actor { network, progress: None, keeper, broken: Arc::clone(&broken), waiting, told };
        thread::Builder::new().name("localnet-instance".to_string()).stack_size(STACK_BYTES).spawn(move || {
            actor.live(&inbox);
            let kept = actor.keep_at_end();
            // In this order: whoever waits for the end can have the memory and the place.
            drop(actor);
            drop(place);
            // Nobody may wait.
            let _ = end.send(kept);
        })?;
        Ok((Self { commands, broken, trusting: false }, Ended(ended)))
    }

    /// Makes requests of the HTTP interface be believed whoever signed them, or not.
    pub(super) fn trusting(self, trusting: bool) -> Self {
        Self { trusting, ..self }
    }

    /// Tells whether requests of the HTTP interface are believed without looking at their signatures.
    pub(crate) fn is_trusting(&self) -> bool {
        self.trusting
    }

    /// Does something with the network and returns what comes of it.
    ///
    /// # Errors
    /// When the network broke, now or before: a defect of localnet.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Network) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.command(|actor| work(&mut actor.network)).await
    }

    /// Does something with the network that the next round takes up. When the network follows the clock that round
    /// comes at once.
    ///
    /// # Errors
    /// When the network broke, now or before: a defect of localnet.
    pub(crate) async fn run_before_round<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Network) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.command(|actor| {
            let done = work(&mut actor.network);
            actor.hasten();
            done
        })
        .await
    }

    /// Waits until something has happened to the network: until `look` gives something, which is asked now and after
    /// every round. While somebody waits, a network that follows the clock makes its rounds quickly. Nothing holds the
    /// network up; whoever drops the future stops waiting. Answers nothing when too many wait already.
    ///
    /// This handle is given up meanwhile, so that waiting does not keep the network alive.
    ///
    /// # Errors
    /// When the network ended, or broke, which is a defect of localnet.
    pub(crate) async fn wait_until<T: Send + 'static>(
        self,
        mut look: impl FnMut(&mut Network) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let (answer, answered) = oneshot::channel();
        let mut answer = Some(answer);
        let waiting: Waiting = Box::new(move |network| {
            if answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
                return true;
            }
            let Some(seen) = look(network) else { return false };
            if let Some(answer) = answer.take() {
                // Whoever waited may go away at this very moment.
                let _ = answer.send(seen);
            }
            true
        });
        if !self.command(move |actor| actor.let_wait(waiting)).await? {
            return Ok(None);
        }
        let broken = Arc::clone(&self.broken);
        drop(self);
        answered.await.map(Some).map_err(|_| broke(&broken))
    }

    /// Makes the network follow the clock, with `pause` between rounds; the first round is done at once. Answers
    /// false when it did already.
    pub(super) async fn start_progress(&self, pause: Duration) -> Result<bool, Failure> {
        self.command(move |actor| {
            if actor.progress.is_some() {
                return false;
            }
            // A network that was set to a later time stays there until the clock has caught up.
            let now = SystemTime::now();
            if let Ok(since_epoch) = now.duration_since(UNIX_EPOCH) {
                let wall_clock = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
                // An error means that the network is ahead of the clock, which is no harm.
                let _ = actor.network.set_time(wall_clock);
            }
            actor.network.tick();
            actor.progress = Some(Progress { pause, last: now, due: Instant::now() + pause });
            true
        })
        .await
    }

    /// Leaves the network alone between commands.
    pub(super) async fn stop_progress(&self) -> Result<(), Failure> {
        self.command(|actor| actor.progress = None).await
    }

    /// Tells whether the network follows the clock.
    pub(super) async fn is_progressing(&self) -> Result<bool, Failure> {
        self.command(|actor| actor.progress.is_some()).await
    }

    /// Tells whether the network broke.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get().is_some()
    }

    async fn command<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Actor) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let command: Command = Box::new(move |actor| {
            // The client may have gone away meanwhile. When the work panics the answer never comes.
            if let Some(done) = actor.guard(work) {
                let _ = answer.send(done);
            }
        });
        // When the thread is gone the answer never comes either.
        let _ = self.commands.send(command);
        answered.await.map_err(|_| broke(&self.broken))
    }
}

/// Says why nothing comes from a network any more.
fn broke(broken: &OnceLock<String>) -> Failure {
    match broken.get() {
        Some(reason) => {
            let message = format!("the instance broke, which is a defect of localnet: {reason}");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        None => Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the instance was deleted"),
    }
}

impl Actor {
    /// Does what is asked until nobody can ask, or the network breaks. Commands that wait then are dropped with the
    /// inbox, and so are answered.
    fn live(&mut self, inbox: &mpsc::Receiver<Command>) {
        while self.broken.get().is_none() {
            let idle = self.progress.as_ref().map(|progress| progress.due.saturating_duration_since(Instant::now()));
            let received = match idle {
                None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                // Due rounds go first, or commands without end would hold up the clock.
                Some(Duration::ZERO) => Err(mpsc::RecvTimeoutError::Timeout),
                Some(idle) => inbox.recv_timeout(idle),
            };
            match received {
                Ok(command) => command(self),
                // Nothing is returned when it panics; then the loop ends.
                Err(mpsc::RecvTimeoutError::Timeout) => drop(self.guard(Self::follow_clock)),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if self.broken.get().is_none() && self.told != self.network.certified_time() {
                self.told = self.network.certified_time();
                let _ = self.guard(Self::tell_waiting);
            }
            if self.broken.get().is_none() {
                // Nothing is returned when it panics; then the loop ends.
                let _ = self.guard(Self::keep_up);
            }
        }
    }

    /// Has the state directory written when that is due.
    fn keep_up(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.keep_up(|| self.network.capture());
        }
    }

    /// Has the state directory written for the last time. A network that broke is not written: the state directory
    /// holds what it was before.
    fn keep_at_end(&mut self) -> Result<(), String> {
        let Some(keeper) = self.keeper.take() else { return Ok(()) };
        let broke = |actor: &Self| actor.broken.get().map(|reason| format!("the state was not saved: {reason}"));
        if let Some(reason) = broke(self) {
            return Err(reason);
        }
        // One more round, as on the official server: messages that wait for it are not lost.
        let capture = self.guard(|actor| {
            actor.network.tick();
            actor.network.capture()
        });
        match capture {
            Some(capture) => keeper.finish(capture).map(drop).map_err(|error| error.to_string()),
            None => Err(broke(self).unwrap_or_default()),
        }
    }

    /// Lets somebody wait; false when too many do.
    fn let_wait(&mut self, mut waiting: Waiting) -> bool {
        if waiting(&mut self.network) {
            return true;
        }
        if self.waiting.len() >= MAX_WAITING {
            // Those who went away are noticed by looking.
            self.tell_waiting();
        }
        if self.waiting.len() >= MAX_WAITING {
            return false;
        }
        self.waiting.push(waiting);
        true
    }

    fn tell_waiting(&mut self) {
        let network = &mut self.network;
        self.waiting.retain_mut(|waiting| !waiting(network));
    }

    /// Makes the next round due at once, for those who wait for it.
    fn hasten(&mut self) {
        if let Some(progress) = &mut self.progress
            && progress.pause <= MIN_PROGRESS_PAUSE
        {
            progress.due = progress.due.min(Instant::now() + HASTY_PAUSE);
        }
    }

    /// Does some work. When it panics nothing is returned and the network is marked as broken: what the panic left of
    /// it is not to be trusted.
    fn guard<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| work(&mut *self))) {
            Ok(done) => Some(done),
            Err(panic) => {
                self.broken.get_or_init(|| format!("it panicked: {}", panic_text(panic.as_ref())));
                None
            }
        }
    }

    fn follow_clock(&mut self) {
        let Some(progress) = &mut self.progress else { return };
        let now = SystemTime::now();
        // A clock that was set back leaves the time where it is.
        let passed = now.duration_since(progress.last).unwrap_or_default();
        progress.last = now;
        let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        // Moving forward cannot fail.
        let _ = self.network.set_time(self.network.time().saturating_add(passed));
        self.network.tick();
        // Counted from the end of the round, so that commands get their turn however long rounds take.
        progress.due = Instant::now() + progress.pause;
        if !self.waiting.is_empty() {
            self.hasten();
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use pocket_ic::common::rest::SubnetSpec;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::network::test_config;

    fn start() -> (Instance, Ended, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let network = Network::new(&test_config(vec![SubnetSpec::default()])).unwrap();
        let (instance, ended) = Instance::start(network, None, place).unwrap();
        (instance, ended, places)
    }

    #[tokio::test]
    async fn should_do_what_is_asked_in_order() {
        let (instance, _ended, _places) = start();
        let before = instance.run(|network| network.time()).await.unwrap();
        let (_, after) = tokio::join!(instance.run(Network::tick), instance.run(|network| network.time()));
        assert_eq!(after.unwrap(), before + 1);
    }

    #[tokio::test]
    async fn should_be_broken_by_a_panic_and_say_why_from_then_on() {
        let (instance, ended, places) = start();
        let (panicked, queued) = tokio::join!(
            instance.run(|_| -> () { panic!("on purpose, {}", 42) }),
            instance.run(|network| network.time())
        );
        let later = instance.is_progressing().await.map(|_| ());
        for failure in [panicked, queued.map(|_| ()), later] {
            let (status, text) = failure.unwrap_err().into_parts();
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(text.contains("on purpose, 42"), "{text}");
        }
        assert!(instance.is_broken());
        ended.wait().await.unwrap();
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn should_end_and_give_its_place_back_when_nobody_holds_it_also_when_it_follows_the_clock() {
        let (instance, ended, places) = start();
        assert!(instance.start_progress(Duration::from_millis(1)).await.unwrap());
        assert_eq!(places.available_permits(), 0);
        drop(instance);
        ended.wait().await.unwrap();
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn should_follow_the_clock_only_when_asked() {
        let (instance, _ended, _places) = start();
        assert!(!instance.is_progressing().await.unwrap());
        assert!(instance.start_progress(MIN_PROGRESS_PAUSE).await.unwrap());
        assert!(!instance.start_progress(MIN_PROGRESS_PAUSE).await.unwrap());
        let before = instance.run(|network| network.time()).await.unwrap();
        tokio::time::sleep(MIN_PROGRESS_PAUSE * 3).await;
        let after = instance.run(|network| network.time()).await.unwrap();
        assert!(after > before);
        instance.stop_progress().await.unwrap();
        assert!(!instance.is_progressing().await.unwrap());
        let stopped = instance.run(|network| network.time()).await.unwrap();
        tokio::time::sleep(MIN_PROGRESS_PAUSE * 2).await;
        assert_eq!(instance.run(|network| network.time()).await.unwrap(), stopped);
    }

    #[tokio::test]
    async fn should_follow_the_clock_while_commands_never_end() {
        let (instance, _ended, _places) = start();
        assert!(instance.start_progress(Duration::from_millis(20)).await.unwrap());
        let first = instance.run(|network| network.time()).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // Two commands are in the inbox at any time.
        let busy = || async {
            while instance.run(|network| network.time()).await.unwrap() == first {
                assert!(Instant::now() < deadline, "the clock stands still");
            }
        };
        tokio::join!(busy(), busy(), busy());
    }

    #[tokio::test]
    async fn should_tell_those_who_wait_after_the_round_in_which_it_happened() {
        let (instance, _ended, _places) = start();
        let begin = instance.run(|network| network.time()).await.unwrap();
        let at = |round: u64| {
            let instance = instance.clone();
            async move {
                let look = move |network: &mut Network| (network.time() >= begin + round).then(|| network.time());
                instance.clone().wait_until(look).await.unwrap().unwrap()
            }
        };
        assert_eq!(at(0).await, begin, "it has happened already");
        let ticks = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                instance.run(Network::tick).await.unwrap();
            }
        };
        let (first, third, ()) = tokio::join!(at(1), at(3), ticks);
        assert_eq!((first - begin, third - begin), (1, 3));
    }

    #[tokio::test]
    async fn should_end_also_when_somebody_waits() {
        let (instance, ended, _places) = start();
        let waiting = tokio::spawn(instance.clone().wait_until(|_| None::<()>));
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(instance);
        let (status, text) = waiting.await.unwrap().unwrap_err().into_parts();
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "the instance was deleted"));
        ended.wait().await.unwrap();
    }

    #[tokio::test]
    async fn should_let_so_many_wait_and_no_more() {
        let (instance, _ended, _places) = start();
        let forever = || {
            let instance = instance.clone();
            tokio::spawn(async move { instance.clone().wait_until(|_| None::<()>).await.map_err(Failure::into_parts) })
        };
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| forever()).collect();
        // Commands are done in order, so all wait by now, as soon as their tasks have run.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(forever().await.unwrap(), Ok(None));
        waiting[5].abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let next = forever();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!next.is_finished(), "the place of the one who went away is free");
        assert_eq!(forever().await.unwrap(), Ok(None));
    }

    #[tokio::test]
    async fn should_tell_those_who_wait_that_the_network_broke() {
        let (instance, _ended, _places) = start();
        let (waited, broken) =
            tokio::join!(instance.clone().wait_until(|_| None::<()>), instance.run(|_| -> () { panic!("on purpose") }));
        assert!(waited.unwrap_err().into_parts().1.contains("on purpose"));
        assert!(broken.is_err());
        let (instance, _ended, _places) = start();
        let waiting = instance.clone().wait_until(|network| {
            assert_ne!(network.time() % 2, 1, "on purpose, in a look");
            None::<()>
        });
        let (waited, _) = tokio::join!(waiting, instance.run(Network::tick));
        assert!(waited.unwrap_err().into_parts().1.contains("in a look"));
        assert!(instance.is_broken());
    }

    #[tokio::test]
    async fn should_make_rounds_quickly_for_those_who_wait() {
        let (instance, _ended, _places) = start();
        assert!(instance.start_progress(MIN_PROGRESS_PAUSE).await.unwrap());
        let rounds = 20;
        let begin = Instant::now();
        let mut seen = std::collections::BTreeSet::new();
        instance.run_before_round(|_| ()).await.unwrap();
        instance
            .clone()
            .wait_until(move |network| {
                seen.insert(network.certified_time());
                (seen.len() > rounds).then_some(())
            })
            .await
            .unwrap();
        assert!(begin.elapsed() < MIN_PROGRESS_PAUSE * 10, "{:?}", begin.elapsed());
        // Who asked for long pauses gets them.
        instance.stop_progress().await.unwrap();
        assert!(instance.start_progress(Duration::from_secs(60)).await.unwrap());
        let time = instance.run_before_round(|network| network.certified_time()).await.unwrap();
        tokio::time::sleep(MIN_PROGRESS_PAUSE).await;
        assert_eq!(instance.run(|network| network.certified_time()).await.unwrap(), time);
    }

    #[test]
    fn should_bound_the_pause_between_rounds() {
        let ask = |artificial_delay_ms| progress_pause(&AutoProgressConfig { artificial_delay_ms });
        assert_eq!(ask(None).unwrap(), MIN_PROGRESS_PAUSE);
        assert_eq!(ask(Some(20)).unwrap(), MIN_PROGRESS_PAUSE);
        assert_eq!(ask(Some(3_600_000)).unwrap(), MAX_PROGRESS_PAUSE);
        assert!(ask(Some(3_600_001)).unwrap_err().into_parts().1.contains("3600001"));
    }
}
