import t from 'tap'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { testBackend, testStore } from 'fastify-tasks/testing'

// What Django's own tests hold its tasks, backends, results, worker and prune command to, and the test here that holds
// this package to the same, carried over to its contract. A line whose behaviour differs on purpose says how.
// The suites run on every backend and database; the others are named by their title alone.

const CARRIED: ReadonlyArray<readonly [area: string, django: string, here: string, difference?: string]> = [
  // tasks
  ['task', 'the decorator gives a task that has the defaults and is not the function', 'an enqueue answers the result: its task, arguments, backend, queue and moment'],
  ['task', 'calling a task runs it in place and stores nothing', 'a task called as a function runs here and now, and nothing is enqueued', 'a task can be called; Django has call() for it'],
  ['task', 'using() gives a copy and leaves the original; two calls add up', 'using never changes the original, and copies keep what they were not told'],
  ['task', 'using() sets the priority', 'supportsPriority tells the truth: priority is taken where it is true, and refused in every place where it is false'],
  ['task', 'using() sets a queue, and a name that is not on the list is invalid', 'a queue that is not on the list is refused: at registration, in using, at enqueue'],
  ['task', 'an empty list of queues takes any name', 'without a list of queues any name is taken'],
  ['task', 'using() sets a moment, which may lie in the past', 'a moment that has passed is taken as now, and a duration counts from the enqueue', 'a duration is taken too, and null clears it'],
  ['task', 'a backend that cannot defer refuses a moment', 'supportsDefer tells the truth: runAfter is taken where it is true, and refused in every place where it is false'],
  ['task', 'an unknown backend is refused at definition and in using()', 'an alias that does not exist is refused: at registration, in using, at enqueue', 'at registration: a definition knows no app yet'],
  ['task', 'a task is checked again when it is enqueued', 'a queue that is not on the list is refused: at registration, in using, at enqueue'],
  ['task', 'a function that is not at module level is refused', 'a name is taken once in an app, and a task that was not made by task() is refused', 'identity is the registered name, not the place in a module'],
  ['task', 'arguments that are not JSON are refused at once', 'what would not come back as it went in is refused, with the path to it, and nothing is enqueued or run', 'stricter: nothing is converted'],
  ['task', 'arguments are normalised to JSON', 'what JSON can say comes back as it went in'],
  ['task', 'a task may be enqueued from within a task', 'a task may enqueue another one'],
  // results
  ['result', 'a fresh result is READY and has no moments but that of its enqueue', 'a stored row is READY, with what it was given and the moment of the database'],
  ['result', 'a result does not change until it is refreshed', 'a result changes only when it is asked to, and by nobody\\\'s hand'],
  ['result', 'a result is found by its id, and refresh reads it again', 'supportsGetResult tells the truth: a result can be read again, or reading is refused'],
  ['result', 'an unknown id, and one that is no id, does not exist', 'an id that nobody has, and one that cannot be any, is not found'],
  ['result', 'a result of another task is a mismatch, one of a copy by using() is not', 'a result of another task is a mismatch, of a copy by using it is not'],
  ['result', 'the return value raises before the end and after a failure', 'a return value is there after a success, and says why where it is not'],
  ['result', 'a task that returns nothing returns none', 'values of every kind are returned as they were, and nothing is null'],
  ['result', 'a failure keeps its class and its whole traceback', 'a task that throws is FAILED with what it threw, and its enqueue does not throw', 'the class is a label and never imported'],
  ['result', 'whatever is raised is recorded', 'whatever is thrown is recorded: no error at all, a hostile one, an enormous one'],
  ['result', 'a return value that is not JSON fails the task', 'a return value that cannot be stored makes the result FAILED, and is not tried again'],
  ['result', 'attempts and worker ids are counted', 'a task that returns is SUCCESSFUL, with its value and its moments'],
  ['result', 'a task that takes a context is given it first, with the result and the attempt', 'a task that takes a context is given it before its arguments'],
  // immediate
  ['immediate', 'a task runs within its enqueue', 'the task runs inside of its enqueue, which gives the finished result'],
  ['immediate', 'a task that raises does not raise from its enqueue', 'a task that throws gives a FAILED result and never a throwing enqueue'],
  ['immediate', 'a result cannot be read again', 'results are read by their id, the last thousand of them', 'its last 1,000 can'],
  ['immediate', 'inside of a transaction it runs at once', 'an immediate task waits for the commit', 'it runs after the commit where the transaction is passed'],
  ['immediate', 'events are sent in the order enqueued, started, finished', 'hooks and channels are told once each, in order, of a result as it was then'],
  // dummy
  ['dummy', 'nothing runs', 'nothing is run: results stay READY'],
  ['dummy', 'results are kept in order and can be cleared', 'nothing runs, and every enqueue is remembered in order'],
  ['dummy', 'the result that is given is a copy of the one that is kept', 'a returned result is independent of the stored one'],
  ['dummy', 'an id that it does not hold does not exist', 'results are found by their id until they are cleared'],
  // backends
  ['backend', 'a backend without enqueue() cannot be made', 'takes a class of one\\\'s own as a backend', 'an abstract method, which TypeScript asks for'],
  ['backend', 'a backend that cannot read says so', 'supportsGetResult tells the truth: a result can be read again, or reading is refused'],
  ['backend', 'aliases are configured, and an unknown one is an error', 'several aliases, from JSON and from code'],
  ['backend', 'what happens is logged once each: enqueued, started, finished', 'what happens is logged once each, and never what was passed or returned', 'started at debug, a success at info'],
  ['backend', 'a receiver that raises breaks the enqueue or the outcome', 'a hook that throws, rejects or never returns changes no outcome and delays none', 'it does not: a defect there'],
  // database: enqueue
  ['database', 'an enqueue takes part in the transaction around it: rolled back, it never was', 'rows that were inserted in a transaction that rolls back never existed', 'where the transaction is passed'],
  ['database', 'an enqueue in a transaction is seen by others after the commit', 'rows that were inserted in a transaction are seen and claimed by nobody before it commits, and by all after it'],
  ['database', 'one statement enqueues', 'concurrent enqueues share statements, and each has its own result'],
  ['database', 'a row whose task is unknown is never executed, whatever it names (71, 104)', 'no name of a task is special: what the worker does not know by exactly that name is left alone', 'it stays READY and is not FAILED'],
  ['database', 'a row whose task is gone does not stop the worker', 'a row whose task the worker does not know stays READY with no attempt, blocks nobody, and is claimed by one that knows it'],
  // database: order
  ['order', 'the larger priority first', 'the larger priority is claimed first, whatever was enqueued first'],
  ['order', 'then first enqueued, first run', 'of one priority, what was enqueued first is claimed first: within an insert and between them'],
  ['order', 'due deferred tasks run before those that were never deferred (83)', 'of one priority, what is due first is claimed first: a moment that has passed counts as the enqueue', 'one order by the moment at which each is due'],
  ['order', 'what is not due is not run, and blocks nobody', 'no row is claimed before it is due, and one of high priority that is not due blocks none'],
  ['order', 'the whole order, seen by what runs', 'what waits is run by priority, then by the moment at which it is due, then in the order of the enqueues'],
  // database: claim
  ['claim', 'a claimed row is locked against others', 'a claimed row is not claimed again while it is held'],
  ['claim', 'three workers, ten tasks: each runs once', 'claimers that work in parallel overlap nowhere and leave nothing behind'],
  ['claim', 'a worker takes from its own queues, or from all but some', 'a worker leaves queues alone that are not its own, paused ones, and names that it does not know'],
  ['claim', 'a worker leaves the rows of other backends alone', 'the rows of another backend are left alone'],
  ['claim', 'an empty table costs a read', 'an empty store gives no lanes and no rows', 'and never a write lock'],
  // worker
  ['worker', 'a batch runs what is ready and ends', 'a batch drains what is ready and exits 0'],
  ['worker', 'tasks that fail do not stop the worker', 'a task that fails leaves the others alone'],
  ['worker', '--max-tasks ends it after that many, failures included', 'a worker exits 0 after --max-tasks attempts and leaves the others alone'],
  ['worker', 'flags that are wrong are errors of the command', 'a bad value of a flag ends with 2 before anything is asked of the database'],
  ['worker', 'a backend that is no database is refused', 'a worker on a backend that is no database ends with a reason'],
  ['worker', 'a task that exits the process fails, and the worker goes on', 'process.exit and late errors of a task are its own failure, and its neighbours end in the same process'],
  ['worker', 'idle, the first signal ends it at once with 0', 'an idle worker that gets SIGTERM exits at once with 0'],
  ['worker', 'the first signal lets the running task end', 'a running attempt ends within the grace, and nothing more is claimed'],
  ['worker', 'the second signal ends the running task, and it fails', 'a second signal aborts and hands back without waiting for the grace', 'it is handed back uncharged'],
  ['worker', 'a killed worker leaves its task RUNNING for ever (a known gap there)', 'what a killed worker ran is run by another within lease, sweep and poll, and the death is charged', 'it is taken back'],
  ['worker', 'a database that fails while polling ends the process', 'endings survive a database that is away for a while, and each is written once', 'it waits and goes on'],
  ['worker', 'the ending is one unguarded update (a defect there)', 'a worker that wakes up late changes nothing of the attempt that runs after it'],
  ['worker', 'the worker ignores a READY row whose queue it does not serve', 'only the queues that are asked for are claimed from'],
  // prune
  ['prune', 'finished results that are old enough go; READY and RUNNING stay', 'finished rows that are old enough are deleted, and READY and RUNNING ones never'],
  ['prune', 'failed ones have an age of their own, 0 included', 'rows that are not old enough stay, and FAILED ones have an age of their own'],
  ['prune', 'a queue, or all, of one backend', 'pruning keeps to its backend and its queues, and takes the tags and keys with the rows'],
  ['prune', 'a dry run deletes nothing and counts', 'prune deletes what is old enough by the flags, and a dry run only counts'],
  ['prune', 'it is one statement', 'pruning goes in batches, the oldest first, and says when there may be more', 'in batches'],
  // admin
  ['admin', 'results are listed, newest first, and filtered', 'list filters by status, queue, task and tag, and goes through pages', 'on the command line']
]

t.test('every behaviour that Django tests is held here, by a test that exists', async (t) => {
  const titles = new Set<string>()
  const test = (name: string): void => { titles.add(name.replaceAll("'", "\\'")) }
  testBackend({ test, create: async () => { throw new Error('only declared') } })
  testBackend({ test, runs: false, create: async () => { throw new Error('only declared') } })
  testStore({ test, open: async () => { throw new Error('only declared') } })
  const folder = join(import.meta.dirname, '..')
  const names = (await readdir(folder, { recursive: true })).filter((name) => /\.te?st\.ts$/.test(name) && !name.endsWith('django.test.ts'))
  const sources = (await Promise.all(names.map(async (name) => await readFile(join(folder, name), 'utf8')))).join('\n')
  for (const [area, django, here] of CARRIED) t.ok(titles.has(here) || sources.includes(`'${here}`) || sources.includes(`\`${here}`), `${area}: ${django} — ${here}`)
})

t.test('what differs from Django is said once each', async (t) => {
  t.same(CARRIED.filter(([, django], index) => CARRIED.findIndex(([, other]) => other === django) !== index), [])
})
