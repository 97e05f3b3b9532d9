/** `list` and `tree` of an archive of 1 GB: only headers and documents are read. */
import {createHash} from 'node:crypto'
import {closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import test from 'ava'
import {bin} from '../helpers/cli.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'

const GIGABYTE = 2 ** 30
const MAX_BYTES_READ = 2 * 2 ** 20
const MAX_MEMORY = 100 * 2 ** 20
const scratch = makeScratch()
const archive = join(scratch, 'large.tar')

test.after.always('remove the archive', () => removeScratch(scratch))

for (const command of ['list', 'tree']) {
  interopTest(`${command} of a 1 GB archive reads under 2 MB of it`, async (t) => {
    writeLargeArchive()
    const trace = join(scratch, 'trace')
    const calls = 'trace=read,pread64,readv,preadv,preadv2,mmap,sendfile,copy_file_range,splice'
    await run('strace', ['-f', '-y', '-s', '0', '-e', calls, '-o', trace, process.execPath, bin, command, archive])
    const bytes = countBytesRead(readFileSync(trace, 'utf8'))
    t.log(`${bytes} bytes`)
    t.true(bytes > 0)
    t.true(bytes < MAX_BYTES_READ)
  })

  interopTest(`${command} of a 1 GB archive needs under 100 MB of memory`, async (t) => {
    writeLargeArchive()
    const kilobytes = await run('python3', ['-c', peakMemory, process.execPath, bin, command, archive])
    t.log(`${kilobytes.trim()} KiB`)
    t.true(Number(kilobytes) * 1024 < MAX_MEMORY)
  })
}

const peakMemory = `
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)`

/** Sums what the calls on the archive's descriptor returned; an interrupted call is told in two lines, the second without the descriptor. */
function countBytesRead(trace: string): number {
  const waiting = new Set<string>()
  let bytes = 0
  for (const line of trace.split('\n')) {
    const thread = line.split(' ')[0]!
    const isOurs = line.includes(`<${archive}>`) || (line.includes(' resumed>') && waiting.delete(thread))
    if (!isOurs) continue
    if (line.endsWith('<unfinished ...>')) waiting.add(thread)
    else bytes += Math.max(0, bytesOf(line))
  }
  return bytes
}

/** A mapping counts with its whole length: which pages of it are read does not show. */
function bytesOf(line: string): number {
  const length = line.includes(' mmap(') ? /mmap\([^,]+, (\d+)/ : /= (-?\d+)(?: .*)?$/
  return Number(line.match(length)?.[1] ?? 0)
}

/** Makes, once, a docker archive of one layer with one file of zeros, nearly all of it a hole on disk. */
function writeLargeArchive(): void {
  if (existsSync(archive)) return
  const layer = [tarHeader('large', GIGABYTE), zeros(GIGABYTE), zeros(1024)]
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: {type: 'layers', diff_ids: [digest(layer)]},
    history: [{created: '2024-01-01T00:00:00Z', created_by: 'COPY large /'}],
  }
  const manifest = [{Config: 'config.json', RepoTags: ['large:1'], Layers: ['layer/layer.tar']}]
  writeSparsely([
    ...member('config.json', [Buffer.from(JSON.stringify(config))]),
    ...member('layer/layer.tar', layer),
    ...member('manifest.json', [Buffer.from(JSON.stringify(manifest))]),
    zeros(1024),
  ])
}

/** Bytes, or so many zeros. */
type Part = Buffer | {readonly zeros: number}

function zeros(length: number): Part {
  return {zeros: length}
}

function lengthOf(part: Part): number {
  return 'zeros' in part ? part.zeros : part.length
}

function member(name: string, content: readonly Part[]): Part[] {
  const size = content.reduce((sum, part) => sum + lengthOf(part), 0)
  return [tarHeader(name, size), ...content, zeros(-size & 511)]
}

function tarHeader(name: string, size: number): Buffer {
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`
  const header = Buffer.alloc(512)
  header.write(name)
  header.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8) + octal(size, 12) + octal(0, 12), 100)
  header.write('        0', 148)
  header.write('ustar\x0000', 257)
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
    148,
  )
  return header
}

function digest(parts: readonly Part[]): string {
  const hash = createHash('sha256')
  const block = Buffer.alloc(2 ** 20)
  for (const part of parts) {
    if (!('zeros' in part)) hash.update(part)
    else for (let left = part.zeros; left > 0; left -= block.length) hash.update(block.subarray(0, left))
  }
  return `sha256:${hash.digest('hex')}`
}

function writeSparsely(parts: readonly Part[]): void {
  const fd = openSync(archive, 'w')
  let position = 0
  for (const part of parts) {
    if (!('zeros' in part)) writeSync(fd, part, 0, part.length, position)
    position += lengthOf(part)
  }
  ftruncateSync(fd, position)
  closeSync(fd)
}
