{{ config(materialized='incremental') }}

with

charges as (

    select * from {{ ref('int_bill_charges') }}
    where node_instance_id is not null

),

nodes as (

    select * from {{ ref('stg_k8s__node_hours') }}

),

-- Several reservations, Savings Plans and On-Demand may share an hour of an instance, and
-- its host, its block and a management fee are billed apart: its cost is their sum.
-- Resized within the hour, it counts as the type that ran longest.
billed as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        node_instance_id as instance_id,
        date_trunc('hour', usage_started_at) as usage_hour,
        max(region_code) as region_code,
        max(usage_type_prefix) as usage_type_prefix,
        coalesce(
            max_by(
                instance_type,
                {{ pair('usage_amount', 'instance_type') }}
            ) filter (where instance_type is not null and node_component = 'instance'),
            max(instance_type)
        ) as billed_type,
        max({{ tag('resource_tags', 'aws_eks_cluster_name') }}) as tagged_cluster_name,
        max(case when {{ is_cluster_tagged('resource_tags') }} then 1 else 0 end)
        = 1 as is_cluster_tagged,
        max({{ tag('product', 'vcpu') }}) as billed_vcpu,
        max({{ tag('product', 'memory') }}) as billed_memory,
        max({{ tag('product', 'gpu') }}) as billed_accelerators,
        coalesce(
            sum(usage_amount) filter (where node_component = 'instance'),
            max(usage_amount)
        ) as usage_amount,
        count(*) as line_count,
        {% for component in node_components() -%}
        {% for basis in bases() -%}
        case
            when sum({{ basis }}_usd) is not null
                then sum(
                    case
                        when node_component = '{{ component }}' then {{ basis }}_usd
                        else 0
                    end
                )
        end::decimal(38, 10) as {{ component }}_{{ basis }}_usd,
        {% endfor -%}
        {% endfor -%}
        {% for basis in bases() %}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from charges
    group by
        billing_month,
        payer_account_id,
        usage_account_id,
        node_instance_id,
        date_trunc('hour', usage_started_at)

),

-- What the inventory says of the instance in some hour stands in for hours that it misses.
known_nodes as (

    select
        billing_month,
        instance_id,
        min_by(cluster_name, usage_hour)
            filter (where cluster_name is not null) as cluster_name,
        min_by(node_name, usage_hour) filter (where node_name is not null) as node_name,
        min_by(instance_type, usage_hour)
            filter (where instance_type is not null) as instance_type,
        min_by(sharing_labels, usage_hour) as sharing_labels
    from nodes
    group by billing_month, instance_id

),

final as (

    select
        billed.billing_month,
        billed.payer_account_id,
        billed.usage_account_id,
        billed.region_code,
        billed.usage_type_prefix,
        billed.instance_id,
        billed.usage_hour,
        coalesce(billed.billed_type, nodes.instance_type, known_nodes.instance_type)
            as instance_type,
        coalesce(
            nodes.cluster_name, known_nodes.cluster_name, billed.tagged_cluster_name
        ) as cluster_name,
        coalesce(nodes.node_name, known_nodes.node_name) as node_name,
        coalesce(nodes.sharing_labels, known_nodes.sharing_labels, '{}')
            as sharing_labels,
        billed.is_cluster_tagged,
        known_nodes.instance_id is not null as is_in_inventory,
        billed.billed_vcpu,
        billed.billed_memory,
        billed.billed_accelerators,
        billed.line_count,
        -- AWS has billed instances for more than an hour of an hour: the cost is taken as
        -- it is, the capacity is the hour's.
        least(billed.usage_amount, 1)::decimal(38, 18) as usage_hours,
        {% for component in node_components() -%}
        {% for basis in bases() -%}
        billed.{{ component }}_{{ basis }}_usd,
        {% endfor -%}
        {% endfor -%}
        {% for basis in bases() %}
        billed.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from billed
    left join nodes
        on
            billed.instance_id = nodes.instance_id
            and billed.usage_hour = nodes.usage_hour
            and billed.billing_month = nodes.billing_month
    left join known_nodes
        on
            billed.instance_id = known_nodes.instance_id
            and billed.billing_month = known_nodes.billing_month

)

select * from final
