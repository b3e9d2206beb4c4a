import type { Command } from './command.js'
import { cancel } from './commands/cancel.js'
import { doctor } from './commands/doctor.js'
import { list } from './commands/list.js'
import { migrate } from './commands/migrate.js'
import { pause } from './commands/pause.js'
import { prune } from './commands/prune.js'
import { resume } from './commands/resume.js'
import { retry } from './commands/retry.js'
import { show } from './commands/show.js'
import { stats } from './commands/stats.js'
import { worker } from './commands/worker.js'

/** Every command, in the order in which `--help` shows them. */
export const COMMANDS: readonly Command[] = [worker, migrate, doctor, stats, list, show, cancel, retry, pause, resume, prune]
