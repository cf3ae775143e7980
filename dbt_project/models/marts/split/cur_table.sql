with

items as (

    select * from {{ ref('int_pod_costs__itemized') }}

),

final as (

    select
        billing_month,
        payer_account_id as bill_payer_account_id,
        usage_account_id as line_item_usage_account_id,
        usage_hour as line_item_usage_start_date,
        region_code as product_region_code,
        case resource
            when 'accelerator' then 'EKS-Pod-Accelerator'
            when 'vcpu' then 'EKS-Pod-vCPU'
            when 'storage' then 'EKS-Pod-Storage'
            else 'EKS-Pod-Memory'
        end as resource_type,
        instance_id as split_line_item_parent_resource_id,
        cluster_name as aws_eks_cluster_name,
        namespace as aws_eks_namespace,
        node_name as aws_eks_node,
        {{ aws_workload_type() }} as aws_eks_workload_type,
        coalesce(nearest_controller, workload_name) as aws_eks_workload_name,
        deployment as aws_eks_deployment,
        pod_name,
        pod_uid,
        allocated_hours as usage_amount,
        (unblended_split_usd + unblended_unused_usd)::decimal(18, 10) as unblended_cost,
        (amortized_split_usd + amortized_unused_usd)::decimal(18, 10) as amortized_cost,
        (net_amortized_split_usd + net_amortized_unused_usd)::decimal(18, 10)
            as net_amortized_cost,
        (public_on_demand_split_usd + public_on_demand_unused_usd)::decimal(18, 10)
            as public_on_demand_cost
    from items

)

select * from final
