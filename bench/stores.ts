/** Who takes part in filling a data-root: imgtool with each driver, and a daemon that loads the archive. */
import {startDockerd} from '../test/helpers/dockerd.ts'
import {type Contestant, imgtool} from './contestants.ts'
import type {Sample} from './corpus.ts'
import type {Goal, Summary} from './summary.ts'

const names = {
  directory: 'imgtool, directory',
  overlay: 'imgtool, overlay',
  aufs: 'imgtool, aufs',
  docker: 'docker load, overlay2',
} as const

const unpack =
  (driver: string) =>
  ({archive}: Sample, target: string) => [...imgtool, 'unpack', '--driver', driver, `docker-archive:${archive}`, target]
const [node = ''] = imgtool

/** All of them, in the order of the table. vfs copies every layer, and takes as long as the disk. */
export const fillers: readonly Contestant[] = [
  {name: names.directory, program: node, command: unpack('directory')},
  {name: names.overlay, program: node, command: unpack('overlay')},
  {name: names.aufs, program: node, command: unpack('aufs')},
  {
    name: names.docker,
    program: 'dockerd',
    async prepare(target) {
      const daemon = await startDockerd(target)
      return {[Symbol.asyncDispose]: () => daemon.stop()}
    },
    command: ({archive}, target) => ['docker', '-H', `unix://${target}/docker.sock`, 'load', '-q', '-i', archive],
  },
]

/** Goals of every image, as far as who they are compared with took part. */
export function judgeStores(summaries: readonly Summary[]): Goal[] {
  return [...Map.groupBy(summaries, ({sample}) => sample).values()].flatMap((ofSample) => {
    const find = (name: string) => ofSample.find(({contestant}) => contestant === name)
    const goal = (peer: string, limit: number): Goal[] => {
      const [one, other] = [find(names.overlay), find(peer)]
      if (one === undefined || other === undefined) return []
      const value = one.wall / other.wall
      const what = `wall, ${names.overlay} / ${peer}`
      return [{sample: one.sample, what, value, limit, isMet: value <= limit && one.status === 0}]
    }
    return [...goal(names.docker, 0.33), ...goal(names.directory, 1.1)]
  })
}
