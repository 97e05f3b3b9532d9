/** Where the members of a new archive go: a tar in a file, a tar down a pipe, or a directory. */
import type {ByteString} from '../text.ts'

/**
 * An archive under construction. Members come one after the other; a name is given once.
 *
 * Nothing here makes the archive appear under its final name: whoever opened the place does that, after {@link finish}.
 */
export interface ArchiveWriter {
  /** Makes a directory; a tar needs it before its first member, for readers that would make it unreadable. */
  directory(name: ByteString): Promise<void>
  /** Writes a small member whole. */
  write(name: ByteString, bytes: Buffer): Promise<void>
  /** Makes a symbolic link. @param target relative to the link's directory */
  link(name: ByteString, target: ByteString): Promise<void>
  /**
   * Begins a member that is written piece by piece. The one before must be complete.
   *
   * @param known what is known in advance. Down a pipe a member whose name or size is not known is spooled first
   */
  start(known?: KnownFacts): Promise<NewMember>
  /** Ends the archive. */
  finish(): Promise<void>
  /** Takes away what was written as far as the place does not go as a whole; closes what is open. May be called twice. */
  abort(): Promise<void>
}

/** What is known of a member before its content. */
export interface KnownFacts {
  readonly name?: ByteString | undefined
  /** Bytes. */
  readonly size?: number | undefined
}

/** A member under construction. Place it or discard it. */
export interface NewMember {
  /** Bytes written up to now. */
  readonly size: number
  /** Writes a piece, which is done with when this resolves. */
  write(chunk: Buffer): Promise<void>
  /** Gives the complete member its name, at once or later. @param name the one that was known, if one was */
  place(name: ByteString): Promise<void>
  /** Takes the member back; only before another one is begun. */
  discard(): Promise<void>
}
