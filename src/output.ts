/** The place where a new archive appears, complete or not at all: a file, a directory, or standard output. */
import {constants, type Stats} from 'node:fs'
import {type FileHandle, link, lstat, open, readdir, readFile, realpath, rename, stat, unlink} from 'node:fs/promises'
import {basename, dirname, join, resolve} from 'node:path'
import process from 'node:process'
import {setTimeout as sleep} from 'node:timers/promises'
import {DirectoryWriter} from './archive/directory-writer.ts'
import {writeAt} from './archive/spool.ts'
import {describeSystemError} from './archive/system-error.ts'
import {TarStreamWriter} from './archive/tar-stream-writer.ts'
import {TarFileWriter} from './archive/tar-writer.ts'
import type {ArchiveWriter} from './archive/writer.ts'
import {type Destination, standardOutput} from './destination.ts'
import {stagingName} from './driver/staging-name.ts'
import {codeOfErrno, errnoReasons, ImgtoolError} from './errors.ts'
import {parseDocument} from './image/json.ts'
import {indexName, layoutName} from './image/oci.ts'
import {indexSchema, layoutSchema} from './image/schemas.ts'
import type {ExistingIndex} from './image/write/oci.ts'
import {printableText} from './text.ts'

/** A new archive and how it appears. Dispose of it: what was not committed goes. */
export interface Output extends AsyncDisposable {
  readonly archive: ArchiveWriter
  /** Of the layout that is added to. */
  readonly existing?: ExistingIndex
  /** Makes the finished archive visible. */
  commit(): Promise<void>
}

export interface OutputOptions {
  /** Replace a file. @default false */
  readonly force?: boolean | undefined
  /** Of all members, seconds since 1970. @default 0 */
  readonly mtime?: number | undefined
  /** Wait until the disk has everything before the target appears, or the index of a layout names it. @default false */
  readonly sync?: boolean | undefined
  /** Takes the bytes for standard output. */
  readonly stdout?: ((bytes: Buffer) => Promise<void>) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Prepares the place.
 *
 * @throws {ImgtoolError} TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PLATFORM_UNSUPPORTED for a directory
 *   on a system without locks that are known here
 */
export async function openOutput(destination: Destination, options: OutputOptions = {}): Promise<Output> {
  const {format, path} = destination
  const {stdout = writeToStandardOutput} = options
  if (path === standardOutput) {
    const archive = new TarStreamWriter(stdout, options.mtime ?? 0)
    return {archive, commit: async () => {}, [Symbol.asyncDispose]: () => archive.abort()}
  }
  try {
    const place = await locate(path)
    return format === 'oci' ? await openDirectory(place, options) : await openFile(place, `${format}:-`, options)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/** Says in the words of this tool why something could not be written. */
export function explainWriteError(error: unknown, path: string): unknown {
  const {code, syscall} = error as NodeJS.ErrnoException
  if (error instanceof ImgtoolError || code === undefined || syscall === undefined) return error
  const meaning = codeOfErrno(code)
  const reason = errnoReasons[meaning]
    ? `${code}, ${errnoReasons[meaning]}`
    : describeSystemError(error as NodeJS.ErrnoException)
  return new ImgtoolError(meaning, `Cannot write "${printableText(path)}": ${reason}`, {cause: error})
}

interface Place {
  readonly parent: string
  readonly name: string
  readonly shown: string
  readonly path: string
}

async function locate(path: string): Promise<Place> {
  const shown = printableText(path)
  const whole = resolve(path)
  const place = {parent: dirname(whole), name: basename(whole), shown, path: whole}
  if (path === '') throw invalid(shown, 'it is no path')
  if (place.name === '') throw invalid(shown, 'it is the root directory', inside)
  const parent = await statusOf(place.parent, stat)
  if (parent?.isDirectory()) return place
  if (parent !== undefined) throw invalid(shown, 'its parent is not a directory')
  throw invalid(
    shown,
    'its parent is not a directory that exists',
    `Make it first: mkdir -p '${printableText(place.parent)}'`,
  )
}

const inside = 'Give the name of something in it'

/** Refuses to put a file where something else is. @param dash what means standard output there */
function refuseFile(shown: string, status: Stats, dash: string): never {
  const hint = `Give ${dash} instead, which is standard output, and lead it there: > '${shown}'`
  throw invalid(shown, `it is ${kindOf(status)}`, status.isDirectory() ? inside : hint)
}

function kindOf(status: Stats): string {
  if (status.isFile()) return 'a file'
  if (status.isDirectory()) return 'a directory'
  if (status.isSymbolicLink()) return 'a symbolic link'
  return status.isFIFO() ? 'a pipe' : status.isSocket() ? 'a socket' : 'a device'
}

async function openFile(
  place: Place,
  dash: string,
  {mtime = 0, force = false, sync = false}: OutputOptions,
): Promise<Output> {
  const file = await createFile(place, {dash, force, sync})
  const {handle, commit} = file
  return {archive: new TarFileWriter(handle, mtime), commit, [Symbol.asyncDispose]: file[Symbol.asyncDispose]}
}

/** A new file under construction. Dispose of it: what was not committed goes. */
export interface NewFile extends AsyncDisposable {
  /** Appends bytes, which are done with when this resolves. */
  write(bytes: Buffer): Promise<void>
  /** Makes the file visible under its name. */
  commit(): Promise<void>
}

/**
 * Prepares a file that is no archive of images.
 *
 * @param force replaces a file that exists
 * @throws {ImgtoolError} TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE
 */
export async function openNewFile(path: string, force: boolean): Promise<NewFile> {
  try {
    const file = await createFile(await locate(path), {dash: standardOutput, force, sync: false})
    const {handle, commit} = file
    let size = 0
    return {
      commit,
      async write(bytes) {
        await writeAt(handle, bytes, size)
        size += bytes.length
      },
      [Symbol.asyncDispose]: file[Symbol.asyncDispose],
    }
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

async function createFile(
  place: Place,
  {dash, force, sync}: {readonly dash: string; readonly force: boolean; readonly sync: boolean},
): Promise<Pick<Output, 'commit' | typeof Symbol.asyncDispose> & {handle: FileHandle}> {
  const {parent, name, shown, path} = place
  const status = await statusOf(path)
  if (status !== undefined && !status.isFile()) refuseFile(shown, status, dash)
  if (status !== undefined && !force) throw exists(shown)
  const {handle, path: staged} = await stageFile(parent, name)
  let isDone = false
  return {
    handle,
    async commit() {
      if (sync) await handle.sync()
      if (force) await rename(staged, path)
      else await renameNew(staged, path, shown)
      isDone = true
    },
    async [Symbol.asyncDispose]() {
      await handle.close()
      if (!isDone) await unlink(staged).catch(() => {})
    },
  }
}

/** Opens a file beside the target, and removes those of runs that were killed where locks tell which they are. */
async function stageFile(parent: string, name: string): Promise<{handle: FileHandle; path: string}> {
  const staging = hasLocks ? await import('./driver/staging.ts') : undefined
  staging?.removeLeftoversIn(parent, name)
  for (let attempt = 0; attempt < (staging?.maximumAttempts ?? 1); attempt++) {
    const staged = stagingName(name)
    const path = join(parent, staged)
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o666)
    if (staging === undefined || staging.lockStagingIn(parent, staged, handle.fd)) return {handle, path}
    await handle.close()
  }
  throw new ImgtoolError(
    'SYSTEM_ERROR',
    `Cannot keep a file in "${printableText(parent)}": it is removed again and again`,
  )
}

/** A rename never fails because of a file that is there; a link does. */
async function renameNew(from: string, to: string, shown: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw exists(shown)
    // Some file systems have no hard links.
    await rename(from, to)
    return
  }
  await unlink(from)
}

async function openDirectory(given: Place, {signal, sync = false}: OutputOptions): Promise<Output> {
  const place = await followLink(given)
  const {shown, path} = place
  if (!hasLocks) {
    throw new ImgtoolError('PLATFORM_UNSUPPORTED', 'Cannot write a directory here: it needs Linux on x64 or arm64', {
      hint: 'Write oci-archive: instead',
    })
  }
  const status = await statusOf(path)
  if (status !== undefined && !status.isDirectory()) throw invalid(shown, `it is ${kindOf(status)}, not a directory`)
  const names = status === undefined ? [] : await readdir(path)
  if (names.length === 0) return stageDirectory(place, sync)
  if (names.includes(layoutName) && names.includes(indexName)) return addToLayout(place, signal, sync)
  throw new ImgtoolError('TARGET_EXISTS', `Cannot write "${shown}": it is a directory with something else in it`, {
    hint: 'Give a new directory, or an OCI layout to add to',
  })
}

/** Where a directory really is: everything is made beside it there, and renamed. */
async function followLink(place: Place): Promise<Place> {
  const {shown, path} = place
  if (!(await statusOf(path))?.isSymbolicLink()) return place
  if ((await statusOf(path, stat)) === undefined) throw invalid(shown, 'it is a symbolic link that leads nowhere')
  return {...(await locate(await realpath(path))), shown}
}

async function stageDirectory({parent, name, shown}: Place, sync: boolean): Promise<Output> {
  const staging = await import('./driver/staging.ts')
  const staged = staging.stageDirectory(parent, name, shown)
  const archive = new DirectoryWriter(join(parent, staged.name))
  return {
    archive,
    commit: async () => staged.commit({sync}),
    async [Symbol.asyncDispose]() {
      await archive.abort()
      staged.abort()
    },
  }
}

/** Milliseconds between two looks at a lock that somebody else has. */
const lockInterval = 100

/** Every writer of the layout that knows the lock waits for it; readers see the old index or the new one. */
async function addToLayout({path, shown}: Place, signal: AbortSignal | undefined, sync: boolean): Promise<Output> {
  const staging = await import('./driver/staging.ts')
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    while (!staging.lockDirectory(handle.fd)) await sleep(lockInterval, undefined, {...(signal && {signal})})
    const archive = new DirectoryWriter(path, sync)
    await archive.removeLeftovers()
    const existing = await readIndex(path, shown)
    return {
      archive,
      existing,
      commit: async () => {},
      async [Symbol.asyncDispose]() {
        await archive.abort()
        await handle.close()
      },
    }
  } catch (error) {
    await handle.close()
    signal?.throwIfAborted()
    throw error
  }
}

async function readIndex(path: string, shown: string): Promise<ExistingIndex> {
  const read = (name: string) => readFile(join(path, name))
  const {imageLayoutVersion} = parseDocument(await read(layoutName), layoutName, layoutSchema)
  if (!/^1\.\d+\.\d+$/.test(imageLayoutVersion))
    throw invalid(shown, `its layout version "${printableText(imageLayoutVersion)}" is unknown`)
  const bytes = await read(indexName)
  parseDocument(bytes, indexName, indexSchema)
  const document = JSON.parse(bytes.toString()) as Record<string, unknown>
  return {document, manifests: (document.manifests ?? []) as Record<string, unknown>[]}
}

/** The numbers of system calls are those of these processors; everything else works without them. */
const hasLocks = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)

async function statusOf(path: string, ask: (path: string) => Promise<Stats> = lstat): Promise<Stats | undefined> {
  try {
    return await ask(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** Writes bytes, which are done with when this resolves. */
export function writeToStandardOutput(bytes: Buffer): Promise<void> {
  return new Promise((done, failed) => {
    process.stdout.write(bytes, (error) => (error ? failed(error) : done()))
  })
}

function exists(shown: string): ImgtoolError {
  return new ImgtoolError('TARGET_EXISTS', `Cannot write "${shown}": it exists`, {
    hint: 'Give another name, or --force to replace it',
  })
}

function invalid(shown: string, why: string, hint?: string): ImgtoolError {
  return new ImgtoolError('TARGET_INVALID', `Cannot write "${shown}": ${why}`, hint === undefined ? {} : {hint})
}
