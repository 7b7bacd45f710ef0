//! A fleet on a thread of its own: it generates while its caller does something else, and takes new weights in the middle.

use crate::fleet::{Fleet, Shared};
use crate::{Error, Event, Push, Tally};
use ruminate_data::{Completion, Request};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the thread is told.
enum Order {
    Generate(Vec<(u64, Request)>),
    Publish(Box<Push>, Sender<Result<Tally, Error>>),
}

type Finished = Result<(u64, Completion), Error>;

/// A fleet that generates beside its caller. What is in flight is given up when it is dropped.
#[derive(Debug)]
pub struct Background {
    /// None while it ends.
    orders: Option<Sender<Order>>,
    finished: Receiver<Finished>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Why it ended.
    ended: Option<Error>,
}

impl Fleet {
    /// Moves the fleet to a thread, where it generates with the weights that it has.
    ///
    /// # Errors
    /// [`Error::Servers`] where no thread is to be had.
    pub fn into_background(self) -> Result<Background, Error> {
        let shared = Arc::clone(&self.shared);
        let (orders, taken) = channel();
        let (sender, finished) = channel();
        let thread = std::thread::Builder::new().name("fleet".to_owned());
        let thread = thread.spawn(move || serve(self, &taken, &sender));
        let thread = thread.map_err(|error| Error::Servers(format!("no thread for the servers: {error}")))?;
        Ok(Background { orders: Some(orders), finished, shared, thread: Some(thread), ended: None })
    }
}

impl Background {
    /// Puts weights into all servers, as [`Fleet::publish`] does. Requests that are running are cut short, and go on behind the
    /// tokens that they have with the new weights. Returns what was done with the weights before.
    ///
    /// # Errors
    /// As [`Fleet::publish`] and [`Fleet::generate`].
    pub fn publish(&mut self, push: Push) -> Result<Tally, Error> {
        let (answer, answered) = channel();
        self.order(Order::Publish(Box::new(push), answer))?;
        match answered.recv() {
            Ok(published) => published,
            Err(_) => Err(self.end()),
        }
    }

    /// Adds requests under numbers of the caller's. Requests that follow each other with the same prompt are a group.
    ///
    /// # Errors
    /// Why the thread has ended, if it has.
    pub fn submit(&mut self, requests: Vec<(u64, Request)>) -> Result<(), Error> {
        self.order(Order::Generate(requests))
    }

    /// A completion that is finished, with its request's number; none if none comes in time. One that no server could answer
    /// has no tokens.
    ///
    /// # Errors
    /// As [`Fleet::generate`]. Nothing is generated after that.
    pub fn finished(&mut self, wait: Duration) -> Result<Option<(u64, Completion)>, Error> {
        match self.finished.recv_timeout(wait) {
            Ok(Ok(finished)) => Ok(Some(finished)),
            Ok(Err(error)) => Err(self.ended.insert(error).clone()),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.end()),
        }
    }

    /// What happened since this was last asked, in order.
    pub fn take_events(&self) -> Vec<Event> {
        self.shared.take_events()
    }

    fn order(&mut self, order: Order) -> Result<(), Error> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order).is_ok());
        if sent == Some(true) { Ok(()) } else { Err(self.end()) }
    }

    /// Why the thread has ended: what it said last.
    fn end(&mut self) -> Error {
        let said = self.finished.try_iter().find_map(Result::err);
        let silent = || Error::Servers("the client of the servers has ended".to_owned());
        self.ended.get_or_insert_with(|| said.unwrap_or_else(silent)).clone()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut fleet: Fleet, orders: &Receiver<Order>, finished: &Sender<Finished>) {
    if let Err(error) = obey(&mut fleet, orders, finished) {
        let _ = finished.send(Err(error)); // fails where the caller has left
    }
}

/// Does what it is told until the caller leaves.
fn obey(fleet: &mut Fleet, orders: &Receiver<Order>, finished: &Sender<Finished>) -> Result<(), Error> {
    let mut run = fleet.run()?;
    // By the run's own numbers.
    let mut numbers = Vec::new();
    loop {
        let order = if run.is_idle() {
            orders.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            orders.try_recv()
        };
        match order {
            Ok(Order::Generate(requests)) => {
                for (number, request) in requests {
                    numbers.push(number);
                    run.join(request)?;
                }
            }
            Ok(Order::Publish(push, answer)) => {
                let _ = answer.send(run.renew(*push)); // fails where the caller has left
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                run.abort();
                return Ok(());
            }
        }
        if run.is_idle() {
            continue;
        }
        let mut hand_over = |request: usize, completion: Completion| match finished
            .send(Ok((numbers[request], completion)))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let turned = run.turn(&mut hand_over);
        if turned.is_err() {
            run.abort();
        }
        let _ = turned?; // a caller that has left is seen above
    }
}
