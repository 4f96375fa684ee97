// One piece of memory for the small messages of a batch. Chunks of the wire that a batch would hold on to for a second outlive the
// young garbage, and a process then carries tens of megabytes of them; copied here at once they are gone when they are read.

/** A message that goes on beyond its place here is moved out again. */
export class Arena {
  #memory: Buffer | undefined
  #sizeBytes: number
  #used = 0
  #begun = 0

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  /** A message begins. */
  begin(): void {
    this.#begun = this.#used
  }

  /** false: there is no room, and nothing of the message stays here; `taken` gives what was copied before. */
  add(bytes: Buffer): boolean {
    this.#memory ??= Buffer.allocUnsafeSlow(this.#sizeBytes)
    if (this.#used + bytes.length > this.#memory.length) return false
    bytes.copy(this.#memory, this.#used)
    this.#used += bytes.length
    return true
  }

  /** What has been copied since the message began, as a view. */
  get taken(): Buffer {
    return this.#memory?.subarray(this.#begun, this.#used) ?? Buffer.alloc(0)
  }

  /** Takes the message out again: its bytes as a copy. */
  moveOut(): Buffer {
    const bytes = Buffer.from(this.taken)
    this.#used = this.#begun
    return bytes
  }

  /** Nobody looks at any view any more. */
  clear(): void {
    this.#used = 0
    this.#begun = 0
  }
}
