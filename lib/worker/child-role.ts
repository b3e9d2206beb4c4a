import { ROLE_VARIABLE, type ChildRole } from './messages.js'

/** What this process was started for by a supervisor; null where it was not. Takes the mark away from its own children. */
export function takeRole (): ChildRole | null {
  const role = process.env[ROLE_VARIABLE]
  delete process.env[ROLE_VARIABLE]
  return role === undefined || process.send === undefined ? null : role as ChildRole
}
