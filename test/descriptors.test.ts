import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {setTimeout as sleep} from 'node:timers/promises'
import test from 'ava'
import {bin} from './helpers/cli.ts'
import {scratch} from './helpers/image.ts'
import {writeLongImage} from './helpers/large-image.ts'
import {file, tar} from './helpers/tar.ts'

/** Directories that a run may keep open, deep and side by side, and files that show that it has been there. */
const entries = tar(
  ...Array.from({length: 500}, (_, n) => file(`a${n}/b/c/d/file`, 'content')),
  file('last', 'content'),
)

for (const threads of [false, true]) {
  test(`takes at most 100 descriptors ${threads ? 'with' : 'without'} threads`, async (t) => {
    const folder = scratch(t)
    const image = join(folder, 'long.tar')
    writeLongImage(image, entries)
    const work = join(folder, 'work')
    mkdirSync(work)
    const child = spawn(process.execPath, [bin, 'unpack', image, join(work, 'rootfs')], {
      env: {...process.env, IMGTOOL_THREADS: threads ? '2' : '1'},
      stdio: 'ignore',
    })
    const ended = once(child, 'exit')
    const counts: number[] = []
    // The layer does not end: what the run has open when all files are there stays so.
    for (let isDone = false; !isDone && child.exitCode === null; await sleep(1)) {
      const [staged] = readdirSync(work)
      if (staged === undefined) continue
      isDone = existsSync(join(work, staged, 'last'))
      counts.push(readdirSync(`/proc/${child.pid}/fd`).length)
    }
    child.kill('SIGTERM')
    t.deepEqual(await ended, [143, null])
    t.true(Math.max(...counts) <= 100, `${Math.max(...counts)} descriptors`)
    t.log(`${counts.length} looks, at most ${Math.max(...counts)}`)
  })
}
