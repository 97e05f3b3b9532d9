import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import {setTimeout as sleep} from 'node:timers/promises'
import test from 'ava'
import {writeMediumImage} from './harness/medium-image.ts'
import {bin} from './helpers/cli.ts'
import {scratch} from './helpers/image.ts'

for (const threads of [false, true]) {
  test(`takes at most 100 descriptors ${threads ? 'with' : 'without'} threads`, async (t) => {
    const folder = scratch(t)
    const image = writeMediumImage(folder)
    const words = [bin, 'unpack', image, join(folder, 'rootfs')]
    const child = spawn(process.execPath, words, {
      env: {...process.env, IMGTOOL_THREADS: threads ? '2' : '1'},
      stdio: 'ignore',
    })
    const counts: number[] = []
    let isOver = false
    const ended = once(child, 'exit').finally(() => (isOver = true))
    for (; !isOver; await sleep(1)) {
      const isAtWork = readdirSync(folder).some((name) => name.startsWith('rootfs.imgtool-'))
      if (isAtWork) counts.push(...countDescriptors(child.pid!))
    }
    t.deepEqual(await ended, [0, null])
    t.true(counts.length > 0)
    t.true(Math.max(...counts) <= 100, `${Math.max(...counts)} descriptors`)
    t.log(`${counts.length} looks, at most ${Math.max(...counts)}`)
  })
}

/** None for a process that has ended. */
function countDescriptors(pid: number): number[] {
  try {
    return [readdirSync(`/proc/${pid}/fd`).length]
  } catch {
    return []
  }
}
