import { BaseTaskBackend, type EnqueueRequest, type TaskResult } from 'fastify-tasks'

/** A third party's backend: remembers each call to `enqueue`, and fails as often as it is told. */
export class RecordingBackend extends BaseTaskBackend {
  override readonly supportsPriority = true
  /** The arguments of each call that was accepted. */
  readonly calls: Array<ReadonlyArray<readonly unknown[]>> = []
  readonly ids: string[] = []
  failures: Error[] = []
  refused = 0
  /** Awaited by each call. */
  gate: Promise<void> = Promise.resolve()
  opened = 0
  closed = 0

  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    await this.gate
    const failure = this.failures.shift()
    if (failure !== undefined) {
      this.refused += 1
      throw failure
    }
    this.calls.push(requests.map(({ args }) => args))
    this.ids.push(...requests.map(({ id }) => id))
    return requests.map((request) => this.createResult(request, { enqueuedAt: new Date() }))
  }

  override async open (): Promise<void> { this.opened += 1 }
  override async close (): Promise<void> { this.closed += 1 }
}
