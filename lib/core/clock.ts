/** What a test has added to the time by which tasks are due, in milliseconds. Production has none. */
export interface Clock {
  readonly offset: number
}
