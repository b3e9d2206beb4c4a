/** Simulated time, in microseconds: what is to happen, in order. A binary heap. */
export class Timeline {
  now = 0
  #heap = []
  #count = 0

  after (microseconds, event) {
    this.#push({ at: this.now + microseconds, order: this.#count++, event })
  }

  until (end) {
    while (this.#heap.length > 0 && this.#heap[0].at <= end) {
      const { at, event } = this.#pop()
      this.now = at
      event()
    }
    this.now = end
  }

  #push (entry) {
    const heap = this.#heap
    let place = heap.push(entry) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!before(heap[place], heap[parent])) break
      ;[heap[place], heap[parent]] = [heap[parent], heap[place]]
      place = parent
    }
  }

  #pop () {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length === 0) return first
    heap[0] = last
    for (let place = 0; ;) {
      const [left, right] = [2 * place + 1, 2 * place + 2]
      let least = place
      if (left < heap.length && before(heap[left], heap[least])) least = left
      if (right < heap.length && before(heap[right], heap[least])) least = right
      if (least === place) return first
      ;[heap[place], heap[least]] = [heap[least], heap[place]]
      place = least
    }
  }
}

function before (a, b) {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
