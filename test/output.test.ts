import {spawnSync} from 'node:child_process'
import {existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import test from 'ava'
import type {ImgtoolError} from '../src/errors.ts'
import {explainWriteError, openOutput} from '../src/output.ts'
import {ociMembers, scratch, writeMembers} from './helpers/image.ts'

for (const format of ['oci', 'oci-archive'] as const) {
  test(`two runs for one ${format} do not disturb each other, and the first one wins`, async (t) => {
    const folder = scratch(t)
    const path = join(folder, 'new')
    const outputs = [await openOutput({format, path}), await openOutput({format, path})]
    t.is(readdirSync(folder).length, 2)
    for (const [number, {archive}] of outputs.entries()) {
      await archive.write('number', Buffer.from(`number ${number}`))
      await archive.finish()
    }
    const [first, second] = outputs
    await first!.commit()
    await t.throwsAsync(second!.commit(), {code: 'TARGET_EXISTS'})
    for (const output of outputs) await output[Symbol.asyncDispose]()
    t.deepEqual(readdirSync(folder), ['new'])
    t.regex(readFileSync(format === 'oci' ? join(path, 'number') : path, 'latin1'), /number 0/)
  })

  test(`an ${format} that is given up leaves nothing`, async (t) => {
    const folder = scratch(t)
    const output = await openOutput({format, path: join(folder, 'new')})
    const member = await output.archive.start()
    await member.write(Buffer.from('half'))
    await output[Symbol.asyncDispose]()
    t.deepEqual(readdirSync(folder), [])
  })
}

test('who waits for a layout can be interrupted', async (t) => {
  const path = writeMembers(join(scratch(t), 'layout'), ociMembers([]))
  const holder = await openOutput({format: 'oci', path})
  const controller = new AbortController()
  const waiting = openOutput({format: 'oci', path}, {signal: controller.signal})
  controller.abort(new Error('stop'))
  await t.throwsAsync(waiting, {message: 'stop'})
  await holder[Symbol.asyncDispose]()
  const next = await openOutput({format: 'oci', path})
  await next[Symbol.asyncDispose]()
})

test('an empty directory is taken', async (t) => {
  const path = scratch(t)
  const output = await openOutput({format: 'oci', path})
  await output.archive.write('file', Buffer.from('1'))
  await output.archive.finish()
  await output.commit()
  await output[Symbol.asyncDispose]()
  t.deepEqual(readdirSync(path), ['file'])
})

test('a link to a directory is followed, and nothing is made beside the link', async (t) => {
  const folder = scratch(t)
  const [disk, desk] = ['disk', 'desk'].map((name) => join(folder, name)) as [string, string]
  const real = writeMembers(join(disk, 'layout'), ociMembers([]))
  mkdirSync(join(disk, 'empty'))
  mkdirSync(desk)
  for (const name of ['layout', 'empty']) symlinkSync(`../disk/${name}`, join(desk, name))
  await using added = await openOutput({format: 'oci', path: `${join(desk, 'layout')}/`})
  t.truthy(added.existing)
  await using output = await openOutput({format: 'oci', path: join(desk, 'empty')})
  t.true(readdirSync(disk).some((name) => name.startsWith('empty.imgtool-')))
  await output.archive.write('file', Buffer.from('1'))
  await output.archive.finish()
  await output.commit()
  t.deepEqual(readdirSync(join(disk, 'empty')), ['file'])
  t.deepEqual(readdirSync(disk).toSorted(), ['empty', 'layout'])
  t.true(lstatSync(join(desk, 'empty')).isSymbolicLink())
  t.true(existsSync(join(real, 'index.json')))
})

const others: Readonly<Record<string, readonly [string, RegExp]>> = {
  directory: ['.', /: it is a directory$/],
  'symbolic link': ['link', /: it is a symbolic link( that leads nowhere)?$/],
  pipe: ['pipe', /: it is a pipe$/],
  'root directory': ['/', /: it is the root directory$/],
  'child of a file': ['file/x', /: its parent is not a directory$/],
  'name too long': ['a'.repeat(300), /: ENAMETOOLONG, \w/],
}

for (const [what, [path, message]] of Object.entries(others)) {
  test(`nothing is written to a ${what}, and it is said what it is`, async (t) => {
    const folder = scratch(t)
    symlinkSync('nowhere', join(folder, 'link'))
    writeFileSync(join(folder, 'file'), '')
    t.is(spawnSync('mkfifo', [join(folder, 'pipe')]).status, 0)
    for (const format of ['oci', 'oci-archive'] as const) {
      if (path === '.' && format === 'oci') continue
      const error = await t.throwsAsync<ImgtoolError>(openOutput({format, path: resolve(folder, path)}))
      t.regex(error.message.replace(', not a directory', ''), message)
      if (/link|pipe/.test(path))
        t.is(/^Give oci-archive:- instead/.test(error.details.hint ?? ''), format === 'oci-archive')
    }
  })
}

test('what the system says of writing gets a code', (t) => {
  const explain = (code: string) => explainWriteError(Object.assign(new Error(code), {code, syscall: 'write'}), 'new')
  t.like(explain('ENOSPC'), {code: 'NO_SPACE', message: 'Cannot write "new": ENOSPC, no space, inodes or quota left'})
  t.like(explain('EROFS'), {code: 'PERMISSION_DENIED'})
  t.like(explain('EIO'), {code: 'SYSTEM_ERROR'})
  const bug = new TypeError('bug')
  t.is(explainWriteError(bug, 'new'), bug)
})
