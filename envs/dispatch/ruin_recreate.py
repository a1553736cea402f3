"""The fast router's loop, compiled by numba; see `routing.fast`."""

import random

import numpy as np
from numba import njit

REMOVED = 10  # requests per ruin, on average, and the longest string of them (Christiaens and Vanden Berghe 2020)
BLINK = 0.01  # chance that a place is overlooked
SPREAD = 2.0  # a request is put back if its detour is below its prize, times a random number up to this or its inverse
HOT, COLD = 0.03, 0.001  # temperature at the start and at the end, in shares of the mean route


@njit(cache=True)
def _refresh(v, routes, lengths, begin, latest, load, durations, early, late, service, demand):
    """Work out a changed route's begins of service, latest feasible ones and load."""
    at, clock, total = 0, 0, 0
    for k in range(lengths[v]):
        i = routes[v, k]
        clock = max(early[i], clock + (service[at] if at else 0) + durations[at, i])
        begin[i], at, total = clock, i, total + demand[i]
    load[v] = total
    after, limit = 0, late[0]
    for k in range(lengths[v] - 1, -1, -1):
        i = routes[v, k]
        limit = min(late[i], limit - durations[i, after] - service[i])
        latest[i], after = limit, i


@njit(cache=True)
def _length(v, routes, lengths, durations):
    """Return the driving time of a route."""
    at, total = 0, 0
    for k in range(lengths[v]):
        total += durations[at, routes[v, k]]
        at = routes[v, k]
    return total + durations[at, 0]


@njit(cache=True)
def _insert(i, bound, used, routes, lengths, where, begin, latest, load, durations, early, late, service, demand,
            capacity, vehicles):  # fmt: skip
    """Put request i where its detour is least and below the bound; return the detour (-1: nowhere), routes used."""
    best, best_v, best_k = bound, -1, 0
    for v in range(used):
        if load[v] + demand[i] > capacity:
            continue
        at, leave = 0, 0
        for k in range(lengths[v] + 1):
            after = routes[v, k] if k < lengths[v] else 0
            reach = max(early[i], leave + durations[at, i])
            if reach > late[i]:
                break  # the places after it are later still
            detour = durations[at, i] + durations[i, after] - durations[at, after]
            limit = latest[after] if after else late[0]
            if detour < best and reach + service[i] + durations[i, after] <= limit and random.random() >= BLINK:
                best, best_v, best_k = float(detour), v, k
            if after:
                at, leave = after, begin[after] + service[after]
    alone = float(durations[0, i] + durations[i, 0])
    if alone < best and used < vehicles:
        best, best_v, best_k = alone, used, 0
        used += 1
    v = best_v
    if v < 0:
        return -1.0, used
    for k in range(lengths[v], best_k, -1):
        routes[v, k] = routes[v, k - 1]
    routes[v, best_k] = i
    lengths[v] += 1
    where[i] = v
    _refresh(v, routes, lengths, begin, latest, load, durations, early, late, service, demand)
    return best, used


@njit(cache=True)
def _ruin(near, used, routes, lengths, where, loose, bound, durations):
    """Take strings of requests out of neighbouring routes, around a random request; return how many are loose.

    Neighbours that are on no route but may be count as loose as well. Changed routes are to be refreshed.
    """
    m = len(where) - 1
    longest = min(float(REMOVED), m / max(used, 1))
    strings = int(random.random() * (4 * REMOVED / (1 + longest) - 1)) + 1
    ruined, free = np.zeros(used, np.bool_), 0
    for c in near[random.randrange(1, m + 1)]:
        if strings == 0 or free >= len(loose) - REMOVED:
            break
        v = where[c]
        if v < 0:
            if v == -1 and bound[c] > 0:
                loose[free] = c
                free += 1
            continue
        if ruined[v]:
            continue
        strings -= 1
        ruined[v] = True
        size, at = lengths[v], 0
        length = int(random.random() * min(float(size), longest)) + 1
        while routes[v, at] != c:
            at += 1
        low, high = max(0, at - length + 1), min(at, size - length)
        first = low + random.randrange(0, high - low + 1)
        for k in range(first, first + length):
            where[routes[v, k]] = -2  # loose already, should the loop come to it
            loose[free] = routes[v, k]
            free += 1
        for k in range(first, size - length):
            routes[v, k] = routes[v, k + length]
        lengths[v] = size - length
    return free


@njit(cache=True)
def _sort(loose, free, required, durations, early, late, demand):
    """Put the loose requests in the order in which they go back: required ones first, else by one of five rules."""
    rule, key = random.randrange(0, 11), np.empty(free)
    for k in range(free):
        i = loose[k]
        if rule < 4:
            value = random.random()
        elif rule < 6:
            value = -float(demand[i])
        elif rule < 8:
            value = -float(durations[0, i])
        elif rule < 9:
            value = float(durations[0, i])
        else:
            value = float(late[i] - early[i])
        if not required[i]:
            value += 1e9
        place = k  # insertion sort: there are few
        while place > 0 and key[place - 1] > value:
            key[place], loose[place] = key[place - 1], loose[place - 1]
            place -= 1
        key[place], loose[place] = value, i


@njit(cache=True)
def _pack(used, routes, lengths, where):
    """Close the gaps that emptied routes left; return the routes used."""
    kept = 0
    for v in range(used):
        if lengths[v] == 0:
            continue
        if kept < v:
            routes[kept, : lengths[v]] = routes[v, : lengths[v]]
            lengths[kept], lengths[v] = lengths[v], 0
            for k in range(lengths[kept]):
                where[routes[kept, k]] = kept
        kept += 1
    return kept


@njit(cache=True)
def _cost(used, routes, lengths, where, durations, prize):
    total = 0.0
    for v in range(used):
        total += _length(v, routes, lengths, durations)
    for i in range(1, len(where)):
        if where[i] < 0:
            total += prize[i]
    return total


@njit(cache=True)
def _copy(routes, lengths, where, begin, latest, load, to_routes, to_lengths, to_where, to_begin, to_latest,
          to_load):  # fmt: skip
    """Copy a state of the search onto another."""
    for v in range(len(lengths)):
        to_lengths[v], to_load[v] = lengths[v], load[v]
        to_where[v], to_begin[v], to_latest[v] = where[v], begin[v], latest[v]
        for k in range(lengths[v]):
            to_routes[v, k] = routes[v, k]


@njit(cache=True)
def search(durations, early, late, service, demand, capacity, vehicles, prize, required, order, near, iterations, seed,
           width):  # fmt: skip
    """Return routes (m + 1, width) and their lengths (m + 1,); no route may need more than the width less one.

    `order` (m,) is that of the first insertions, `near` (m + 1, k) a request's nearest ones, itself first.
    """
    random.seed(seed)
    m, used = len(early) - 1, 0
    begin, latest, load = np.zeros(m + 1, np.int64), np.zeros(m + 1, np.int64), np.zeros(m + 1, np.int64)
    where = np.full(m + 1, -1, np.int64)  # the route of a request, -1: left out
    routes, lengths = np.zeros((m + 1, width), np.int64), np.zeros(m + 1, np.int64)
    bound = np.empty(m + 1)
    for i in range(m + 1):
        bound[i] = np.inf if required[i] else prize[i]
    # Cheapest insertion of all that has a prize. What is not worth its detour is dropped by the steps that follow: a
    # route is easier shortened than grown by single requests.
    for i in order:
        if bound[i] > 0:
            _, used = _insert(i, np.inf, used, routes, lengths, where, begin, latest, load, durations, early, late,
                              service, demand, capacity, vehicles)  # fmt: skip
    cost = _cost(used, routes, lengths, where, durations, prize)
    best_cost, best_routes, best_lengths = cost, routes.copy(), lengths.copy()
    if iterations == 0:
        return best_routes, best_lengths
    old_routes, old_lengths, old_where = routes.copy(), lengths.copy(), where.copy()
    old_begin, old_latest, old_load, old_used = begin.copy(), latest.copy(), load.copy(), used
    temperature = HOT * cost / max(used, 1)
    cooling = (COLD / HOT) ** (1 / iterations)
    loose = np.empty(6 * REMOVED, np.int64)
    for _ in range(iterations):
        temperature *= cooling
        free = _ruin(near, used, routes, lengths, where, loose, bound, durations)
        used = _pack(used, routes, lengths, where)
        for v in range(used):
            _refresh(v, routes, lengths, begin, latest, load, durations, early, late, service, demand)
        _sort(loose, free, required, durations, early, late, demand)
        for k in range(free):
            i = loose[k]
            where[i] = -1
            worth = bound[i] * SPREAD ** random.uniform(-1, 1)
            _, used = _insert(i, worth, used, routes, lengths, where, begin, latest, load, durations, early, late,
                              service, demand, capacity, vehicles)  # fmt: skip
        new = _cost(used, routes, lengths, where, durations, prize)
        if new < cost - temperature * np.log(random.random()):
            cost = new
            if new < best_cost - 1e-6:
                best_cost = new
                _copy(routes, lengths, where, begin, latest, load, best_routes, best_lengths, old_where, old_begin,
                      old_latest, old_load)  # fmt: skip
            _copy(routes, lengths, where, begin, latest, load, old_routes, old_lengths, old_where, old_begin,
                  old_latest, old_load)  # fmt: skip
            old_used = used
        else:
            used = old_used
            _copy(old_routes, old_lengths, old_where, old_begin, old_latest, old_load, routes, lengths, where,
                  begin, latest, load)  # fmt: skip
    return best_routes, best_lengths
