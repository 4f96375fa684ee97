// What is read from a message's header to list and find it; null where it is missing or cannot be read.

export interface Summary {
  readonly internetMessageId: string | null
  readonly dateAt: Date | null
  readonly fromAddress: string | null
  readonly fromName: string | null
  readonly toAddresses: string | null
  readonly subject: string | null
}
