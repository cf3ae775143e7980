{{ config(materialized='incremental') }}

{%- set keys = [
    'payer_account_id', 'usage_account_id', 'region_code', 'cluster_name', 'namespace',
    'workload_type', 'workload_name', 'deployment', 'is_fargate', 'node_pool', 'kept_instance_id',
] %}

with

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

node_pools as (

    select * from {{ ref('int_nodes__pooled') }}

),

owned as (

    select * from {{ ref('int_pods__owned') }}

),

policies as (

    select * from {{ ref('stg_org__policy') }}

),

dated as (

    select
        pod_costs.*,
        pod_costs.usage_hour::date as usage_date,
        pod_costs.instance_id is null as is_fargate,
        node_pools.node_pool,
        -- A row a node and day would be as many as pods a day.
        case when policies.needs_nodes then pod_costs.instance_id end as kept_instance_id
    from pod_costs
    left join policies on pod_costs.billing_month = policies.billing_month
    left join node_pools
        on
            pod_costs.billing_month = node_pools.billing_month
            and pod_costs.instance_id = node_pools.instance_id

),

-- A pod's own label is its own word; where it has none, its owner's entry speaks.
labelled as (

    select
        dated.*,
        {% for name in chosen_labels() -%}
        coalesce(
            nullif({{ label('dated.labels', name) }}, ''),
            {{ 'owned.owned_' ~ name if name in owner_labels() else 'null' }}
        ) as label_{{ loop.index }}{{ ',' if not loop.last }}
        {% endfor %}
    from dated
    left join owned
        on
            dated.billing_month = owned.billing_month
            and dated.usage_date = owned.usage_date
            and {{ same('dated.cluster_name', 'owned.cluster_name') }}
            and {{ same('dated.namespace', 'owned.namespace') }}
            and {{ same('dated.workload_type', 'owned.workload_type') }}
            and {{ same('dated.workload_name', 'owned.workload_name') }}
            and {{ same('dated.labels', 'owned.labels') }}
            and {{ same('dated.node_pool', 'owned.node_pool') }}

),

summed as (

    select
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }},
        {% endfor -%}
        {% for name in chosen_labels() %}label_{{ loop.index }},
        {% endfor -%}
        {% for column in resource_hours() -%}
        sum({{ column }}::decimal(28, 12))::decimal(38, 12) as {{ column }},
        {% endfor -%}
        {% for basis in bases() -%}
        {% for resource in pod_resources() -%}
        sum({{ resource }}_{{ basis }}_split_usd)::decimal(38, 10)
            as {{ resource }}_{{ basis }}_split_usd,
        {% endfor -%}
        {% for resource in resources() -%}
        sum({{ resource }}_{{ basis }}_unused_usd)::decimal(38, 10)
            as {{ resource }}_{{ basis }}_unused_usd
        {{- ',' if not (loop.last and basis == bases()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from labelled
    group by
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }}{{ ',' if not loop.last or chosen_labels() }}
        {% endfor -%}
        {% for name in chosen_labels() %}label_{{ loop.index }}{{ ',' if not loop.last }}
        {% endfor %}

),

final as (

    select
        billing_month,
        usage_date,
        {% for key in keys[:-1] %}{{ key }},
        {% endfor -%}
        kept_instance_id as instance_id,
        {{ chosen_label_map() }} as labels, -- noqa: PRS
        {% for column in resource_hours() %}{{ column }},
        {% endfor -%}
        {% for basis in bases() -%}
        {% for resource in pod_resources() -%}
        {{ resource }}_{{ basis }}_split_usd,
        {% endfor -%}
        {% for resource in resources() -%}
        {{ resource }}_{{ basis }}_unused_usd
        {{- ',' if not (loop.last and basis == bases()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from summed

)

select * from final
