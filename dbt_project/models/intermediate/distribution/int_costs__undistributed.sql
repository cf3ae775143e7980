with

pods as (

    select * from {{ ref('int_pod_costs__daily') }}

),

unallocated_costs as (

    select * from {{ source('split', 'unallocated_costs') }}

),

remainder as (

    select * from {{ ref('int_bill_remainder__grouped') }}

),

node_pools as (

    select * from {{ ref('int_nodes__pooled') }}

),

owned as (

    select * from {{ ref('int_node_pools__owned') }}

),

policies as (

    select * from {{ ref('stg_org__policy') }}

),

pooled as (

    select
        unallocated_costs.*,
        node_pools.node_pool,
        case when policies.needs_nodes then unallocated_costs.instance_id end
            as kept_instance_id
    from unallocated_costs
    left join node_pools
        on
            unallocated_costs.billing_month = node_pools.billing_month
            and unallocated_costs.instance_id = node_pools.instance_id
    left join policies on unallocated_costs.billing_month = policies.billing_month

),

unallocated as (

    select
        billing_month,
        usage_hour::date as usage_date,
        payer_account_id,
        usage_account_id,
        region_code,
        cluster_name,
        node_pool,
        kept_instance_id as instance_id,
        resource,
        reason,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from pooled
    group by
        billing_month,
        usage_hour::date,
        payer_account_id,
        usage_account_id,
        region_code,
        cluster_name,
        node_pool,
        kept_instance_id,
        resource,
        reason

),

hinted as (

    select
        *,
        {% for name in chosen_labels() -%}
        {{ hinted('owner_hint', name) }} as label_{{ loop.index }}
        {{- ',' if not loop.last }}
        {% endfor %}
    from remainder

),

-- A row for each resource: what nobody used is shared by the cost of the same resource.
costs as (

    {% for resource in pod_resources() -%}
    select
        billing_month,
        usage_date,
        case when is_fargate then 'pod' else 'split' end as origin,
        payer_account_id,
        usage_account_id,
        region_code,
        cluster_name,
        namespace,
        workload_type,
        workload_name,
        deployment,
        labels,
        {{ no_tags() }} as owner_labels,
        node_pool,
        instance_id,
        '{{ resource }}' as resource,
        null::string as reason,
        null::string as category,
        null::string as line_type,
        {{ resource }}_allocated_hours as allocated_hours,
        {% for basis in bases() -%}
        {{ resource }}_{{ basis }}_split_usd as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from pods
    {% if resource == 'storage' -%}
    where is_fargate
    {% endif -%}
    union all
    {% endfor -%}
    {% for resource in resources() -%}
    select
        pods.billing_month,
        pods.usage_date,
        'unused' as origin,
        pods.payer_account_id,
        pods.usage_account_id,
        pods.region_code,
        pods.cluster_name,
        pods.namespace,
        pods.workload_type,
        pods.workload_name,
        pods.deployment,
        pods.labels,
        {{ owner_label_map('owned.owned_') }} as owner_labels, -- noqa: PRS
        pods.node_pool,
        pods.instance_id,
        '{{ resource }}' as resource,
        null::string as reason,
        null::string as category,
        null::string as line_type,
        null::decimal(38, 12) as allocated_hours,
        {% for basis in bases() -%}
        pods.{{ resource }}_{{ basis }}_unused_usd as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from pods
    left join owned
        on
            pods.billing_month = owned.billing_month
            and pods.usage_date = owned.usage_date
            and {{ same('pods.cluster_name', 'owned.cluster_name') }}
            and pods.node_pool = owned.node_pool
    union all
    {% endfor -%}
    select
        unallocated.billing_month,
        unallocated.usage_date,
        'unallocated' as origin,
        unallocated.payer_account_id,
        unallocated.usage_account_id,
        unallocated.region_code,
        unallocated.cluster_name,
        null::string as namespace,
        null::string as workload_type,
        null::string as workload_name,
        null::string as deployment,
        {{ owner_label_map('owned.owned_') }} as labels, -- noqa: PRS
        {{ owner_label_map('owned.owned_') }} as owner_labels, -- noqa: PRS
        unallocated.node_pool,
        unallocated.instance_id,
        unallocated.resource,
        unallocated.reason,
        null::string as category,
        null::string as line_type,
        null::decimal(38, 12) as allocated_hours,
        {% for basis in bases() -%}
        unallocated.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from unallocated
    left join owned
        on
            unallocated.billing_month = owned.billing_month
            and unallocated.usage_date = owned.usage_date
            and {{ same('unallocated.cluster_name', 'owned.cluster_name') }}
            and unallocated.node_pool = owned.node_pool
    union all
    select
        billing_month,
        usage_date,
        'remainder' as origin,
        payer_account_id,
        usage_account_id,
        region_code,
        cluster_name,
        namespace,
        null::string as workload_type,
        null::string as workload_name,
        null::string as deployment,
        {{ chosen_label_map() }} as labels, -- noqa: PRS
        {{ chosen_label_map() }} as owner_labels, -- noqa: PRS
        null::string as node_pool,
        null::string as instance_id,
        null::string as resource,
        null::string as reason,
        category,
        line_type,
        null::decimal(38, 12) as allocated_hours,
        {% for basis in bases() -%}
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from hinted

),

-- What has neither cost nor hours moves nothing; null is unknown, and not nothing.
final as (

    select *
    from costs
    where
        allocated_hours > 0
        {% for basis in bases() -%}
        or {{ basis }}_usd <> 0
        {% endfor %}
)

select * from final
