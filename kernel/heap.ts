/** A binary heap whose items know where they are, so that any one can be moved or taken out in O(log n). */
export interface HeapItem {
  /** Kept by the heap; -1 while outside. An item is in one heap at most. */
  heapIndex: number;
}

export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** `before(a, b)`: a leaves the heap earlier than b. */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    this.#items.push(item);
    item.heapIndex = this.#items.length - 1;
    this.#up(item);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first) this.remove(first);
    return first;
  }

  remove(item: T): void {
    const index = item.heapIndex;
    const last = this.#items.pop();
    item.heapIndex = -1;
    if (last && last !== item) {
      this.#place(last, index);
      this.update(last);
    }
  }

  /** To be called after an item's order has changed. */
  update(item: T): void {
    this.#up(item);
    this.#down(item);
  }

  clear(): void {
    for (const item of this.#items) item.heapIndex = -1;
    this.#items.length = 0;
  }

  #place(item: T, index: number): void {
    this.#items[index] = item;
    item.heapIndex = index;
  }

  #up(item: T): void {
    for (;;) {
      const index = item.heapIndex;
      const parent = this.#items[(index - 1) >> 1];
      if (index === 0 || !parent || !this.#before(item, parent)) return;
      this.#place(item, parent.heapIndex);
      this.#place(parent, index);
    }
  }

  #down(item: T): void {
    for (;;) {
      const index = item.heapIndex;
      const left = this.#items[2 * index + 1];
      const right = this.#items[2 * index + 2];
      const child = left && right && this.#before(right, left) ? right : left;
      if (!child || !this.#before(child, item)) return;
      this.#place(item, child.heapIndex);
      this.#place(child, index);
    }
  }
}
