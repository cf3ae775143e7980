{{ config(materialized='incremental') }}

with

pods as (

    select * from {{ ref('int_pod_costs__daily') }}

),

unallocated_costs as (

    select * from {{ source('split', 'unallocated_costs') }}

),

node_pools as (

    select * from {{ ref('int_nodes__pooled') }}

),

ownership as (

    select * from {{ ref('stg_org__ownership') }}

),

pools as (

    select
        billing_month,
        usage_date,
        cluster_name,
        node_pool
    from pods
    where node_pool is not null
    union
    select
        unallocated_costs.billing_month,
        unallocated_costs.usage_hour::date as usage_date,
        unallocated_costs.cluster_name,
        node_pools.node_pool
    from unallocated_costs
    inner join node_pools
        on
            unallocated_costs.billing_month = node_pools.billing_month
            and unallocated_costs.instance_id = node_pools.instance_id

),

-- What runs on a pool may be anybody's: only an entry for the pool itself speaks of what
-- nobody used of it.
final as (

    select
        pools.billing_month,
        pools.usage_date,
        pools.cluster_name,
        pools.node_pool,
        {% for name in owner_labels() -%}
        min_by(ownership.value, ownership.priority)
            filter (where ownership.label = '{{ name }}') as owned_{{ name }}
        {{- ',' if not loop.last }}
        {% endfor %}
    from pools
    inner join ownership
        on
            pools.billing_month = ownership.billing_month
            and ownership.match_kind = 'node_pool'
            and pools.usage_date >= ownership.effective_from
            and pools.usage_date < ownership.effective_to
            and {{ like_if_given('pools.cluster_name', 'ownership.cluster_name_like') }}
            and {{ like_if_given('pools.node_pool', 'ownership.node_pool_like') }}
    group by
        pools.billing_month,
        pools.usage_date,
        pools.cluster_name,
        pools.node_pool

)

select * from final
