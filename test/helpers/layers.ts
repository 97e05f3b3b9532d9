/** Entries and layers for tests of drivers, without a tar around them. */
import {execFileSync} from 'node:child_process'
import {mkdtempSync} from 'node:fs'
import {tmpdir} from 'node:os'
import path from 'node:path'
import type {ExecutionContext} from 'ava'
import type {ChangeSink} from '../../src/layer/change.ts'
import type {Entry} from '../../src/layer/tar/entry.ts'

/** An entry; whatever is not said is ordinary. */
export function entry(what: Partial<Entry> & Pick<Entry, 'path'>): Entry {
  return {
    kind: 'file',
    mode: what.kind === 'directory' ? 0o755 : 0o644,
    uid: process.getuid!(),
    gid: process.getgid!(),
    mtime: {seconds: 1_400_000_000, nanoseconds: 123_456_789},
    size: 0,
    link: '',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    ...what,
  }
}

/** Adds an entry with its content. */
export function add(sink: ChangeSink, what: Partial<Entry> & Pick<Entry, 'path'>, content = ''): void {
  const bytes = Buffer.from(content)
  sink.add(entry({size: bytes.length, ...what}))
  if (bytes.length > 0) sink.data(bytes, 0)
  sink.end()
}

/** An empty directory that goes with the test. */
export function scratch(t: ExecutionContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'imgtool-test-'))
  // Node's own removal fails on paths that are longer than PATH_MAX, and on directories that lock out their owner.
  t.teardown(() => execFileSync('sh', ['-c', 'chmod -R u+rwx -- "$1" 2>/dev/null; rm -rf -- "$1"', 'sh', directory]))
  return directory
}

export const isRoot = process.getuid?.() === 0
