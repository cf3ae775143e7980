{{ config(materialized='incremental') }}

with

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

node_pools as (

    select * from {{ ref('int_nodes__pooled') }}

),

ownership as (

    select * from {{ ref('stg_org__ownership') }}

),

-- Entries begin and end with days, so a day's pods of one description have one owner.
subjects as (

    select distinct
        pod_costs.billing_month,
        pod_costs.usage_hour::date as usage_date,
        pod_costs.cluster_name,
        pod_costs.namespace,
        pod_costs.workload_type,
        pod_costs.workload_name,
        pod_costs.labels,
        node_pools.node_pool
    from pod_costs
    left join node_pools
        on
            pod_costs.billing_month = node_pools.billing_month
            and pod_costs.instance_id = node_pools.instance_id
    where exists (select 1 from ownership)

),

final as (

    select
        subjects.billing_month,
        subjects.usage_date,
        subjects.cluster_name,
        subjects.namespace,
        subjects.workload_type,
        subjects.workload_name,
        subjects.labels,
        subjects.node_pool,
        {% for name in owner_labels() -%}
        min_by(ownership.value, ownership.priority)
            filter (where ownership.label = '{{ name }}') as owned_{{ name }}
        {{- ',' if not loop.last }}
        {% endfor %}
    from subjects
    inner join ownership
        on
            subjects.billing_month = ownership.billing_month
            and subjects.usage_date >= ownership.effective_from
            and subjects.usage_date < ownership.effective_to
            and {{ like_if_given('subjects.cluster_name', 'ownership.cluster_name_like') }}
            and {{ like_if_given('subjects.namespace', 'ownership.namespace_like') }}
            and (
                ownership.workload_type is null
                or subjects.workload_type = ownership.workload_type
            )
            and {{ like_if_given(
                'subjects.workload_name', 'ownership.workload_name_like'
            ) }}
            and (
                ownership.pod_label is null
                or {{ is_like(
                    label_named('subjects.labels', 'ownership.pod_label'),
                    'ownership.pod_label_value_like'
                ) }}
            )
            and {{ like_if_given('subjects.node_pool', 'ownership.node_pool_like') }}
    group by
        subjects.billing_month,
        subjects.usage_date,
        subjects.cluster_name,
        subjects.namespace,
        subjects.workload_type,
        subjects.workload_name,
        subjects.labels,
        subjects.node_pool

)

select * from final
