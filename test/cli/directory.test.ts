import {mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {scratch} from '../helpers/image.ts'

const archive = fixture('docker-20.10-one.tar')

test('a directory is no pipe, but may be called as one', async (t) => {
  const cwd = scratch(t)
  mkdirSync(join(cwd, 'x'))
  const refused = [
    ['unpack', archive, '-'],
    ['unpack', '--driver', 'vfs', archive, '-'],
    ['store', 'check', '-'],
    ['commit', '-', 'x', 'x.tar'],
    ['mount', 'x', '-', '--store', 'x'],
    ['mount', 'x', 'x', '--store', '-'],
    ['umount', '-'],
  ]
  for (const words of refused) {
    const {status, stderr} = await spawnImgtool(words, {cwd})
    t.is(status, 2, words.join(' '))
    t.regex(stderr, /^Error: Cannot use "-": a directory cannot be standard input or output\nHint: Write \.\/- /)
  }
  t.deepEqual(readdirSync(cwd), ['x'])
  t.is((await spawnImgtool(['unpack', archive, './-'], {cwd})).status, 0)
  t.deepEqual(readdirSync(cwd).toSorted(), ['-', 'x'])
})
