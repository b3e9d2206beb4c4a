// @ts-check
import { task } from 'fastify-tasks'

/**
 * Copy a note. Trap, stale data: it is given the id and reads the text when it runs: by then the note may say something else, or be gone,
 * and then there is nothing to copy. Trap, duplicate runs: the copy and the end of the task are one
 * transaction, so that a task that runs twice leaves one copy.
 */
export const copyNote = task('notes.copy', { takesContext: true, retry: 3 }, async (context, /** @type {number} */ noteId) => {
  return await context.transaction(async (trx) => {
    // FOR SHARE (PostgreSQL): somebody who deletes the note waits for this copy. SQLite has one writer at a time anyway.
    const note = await trx('notes').where({ id: noteId }).forShare().first('id', 'text')
    if (note === undefined) return 'the note is gone'
    await trx('notes').insert({ text: note.text, copied_from: note.id })
    return 'copied'
  })
})
