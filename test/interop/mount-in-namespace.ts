/** Mounts hand-made layers in a user namespace, read-only and then with a layer on top, and prints what is seen. */
import {mkdirSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {overlayDialect} from '../../src/driver/dialect.ts'
import {mountOverlay} from '../../src/driver/mount-overlay.ts'
import {unmount} from '../../src/driver/mounts.ts'
import {deletions, readTree, writeLayers} from '../helpers/hand-made-layers.ts'

const [folder = ''] = process.argv.slice(2)
const [target, upper, work] = ['target', 'upper', 'work'].map((name) => join(folder, name)) as [string, string, string]
for (const path of [target, upper, work]) mkdirSync(path)

const dialect = overlayDialect('user')
const lowers = writeLayers(join(folder, 'layers'), dialect, deletions.layers)
mountOverlay({lowers, target, userxattr: true})
const readOnly = readTree(target)
unmount(target)

mountOverlay({lowers, upper, work, target, userxattr: true})
rmSync(join(target, 'kept'))
rmSync(join(target, 'partly'), {recursive: true})
mkdirSync(join(target, 'partly'))
writeFileSync(join(target, 'written'), '3')
const written = readTree(target)
unmount(target)

// What the kernel has written is read as it means it.
mountOverlay({lowers: [upper, ...lowers], target, userxattr: true})
process.stdout.write(JSON.stringify({readOnly, written, asLayer: readTree(target)}))
unmount(target)
