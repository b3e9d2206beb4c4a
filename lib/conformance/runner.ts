/**
 * How a suite is given to a test runner: `test` of node:test, vitest or tap, or any object that has one. The suites
 * assert with node:assert, so nothing else of a runner is needed.
 */
export type TestRunner = TestFunction | { readonly test: TestFunction }

export type TestFunction = (name: string, body: (context?: any) => Promise<void>) => unknown

/** A test function that prefixes names, so that one runner can hold several suites. */
export function testFunction (runner: TestRunner, prefix: string): (name: string, body: () => Promise<void>) => void {
  return (name, body) => {
    const title = prefix === '' ? name : `${prefix}: ${name}`
    const run = async (context?: unknown): Promise<void> => {
      await body()
      // tap takes a test without assertions of its own for one that was skipped.
      const { pass } = (context ?? {}) as { pass?: (message: string) => unknown }
      if (typeof pass === 'function') pass.call(context, 'holds')
    }
    if (typeof runner === 'function') runner(title, run)
    else runner.test(title, run)
  }
}
